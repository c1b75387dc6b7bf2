// ModelProvider: how a pool comes by its models. `serve` has one over files and
// worker processes, tests have a scripted one. The pool calls it from threads
// of its own, several at once, never with a lock held but where it says so.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "api/backend.h"
#include "base/result.h"

namespace rapid {

struct ModelNames {
  std::string name;   // as the user wrote it
  std::string alias;  // of the catalogue, "" if none
  std::string path;   // "" until it is known

  bool answers_to(std::string_view model) const {
    return !model.empty() && (model == name || model == alias || model == path);
  }
};

class ModelProvider {
 public:
  // One short line: what it does now.
  using Tell = std::function<void(const std::string&)>;
  // The model's text is open and this process holds so much: what the engine
  // may take beside it. An Error: there is no room.
  using Budget = std::function<Result<uint64_t>(uint64_t front_bytes)>;

  virtual ~ModelProvider() = default;

  // A MODEL that lies on this machine; else not_found.
  virtual Result<ModelNames> locate(const std::string& model) = 0;
  // Of its weights' files; 0 = not known yet. Fast.
  virtual uint64_t weight_bytes(const ModelNames& names) = 0;
  // Its files onto this machine, if they are not: with its path.
  virtual Result<ModelNames> fetch(
      const ModelNames& names, const Tell& tell) = 0;
  // Blocks until it is loaded. Destroying the backend gives all back.
  virtual Result<std::shared_ptr<Backend>> load(
      const ModelNames& names, const Budget& budget, const Tell& tell) = 0;
  // Drops what is kept of its prompts and turns on disk. It is not loaded.
  virtual void forget(const ModelNames& names) = 0;
  // What this process holds for itself. Fast; with the pool's lock held.
  virtual uint64_t front_bytes() = 0;
};

}  // namespace rapid
