// From the MODEL that a user typed to files on disk, an engine and a text
// model, with progress and Ctrl-C.
//
//   RAPID_TRY(auto where, fetch_model("", {}));
//   RAPID_TRY(auto text, open_text(where, ""));
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/front.h"

namespace rapid {

struct ModelPlace {
  std::string name;   // as the user wrote it, or the default's alias
  std::string alias;  // of the catalogue, "" if it is none
  std::string path;   // a .gguf file or a folder
};

struct FetchOptions {
  bool quiet = false;               // no progress, no notes
  std::function<bool()> cancelled;  // polled
};

// Finds `model`, downloads it if need be. "" takes the default model and says
// so on stderr. Errors: cancelled says that what came so far is kept.
Result<ModelPlace> fetch_model(
    const std::string& model, const FetchOptions& options);

// unsupported, where this build does not run it; "" runs.
Status check_architecture(
    std::string_view model, const std::string& architecture);

// unsupported: the catalogue says that it has an architecture which this build
// does not run, so that nothing need be fetched to find out.
Status check_runs(std::string_view model);

// Its sampling defaults are those of its files, then the catalogue's.
Result<std::shared_ptr<const TextModel>> open_text(
    const ModelPlace& place, const std::string& format);

}  // namespace rapid
