// A repository on the Hugging Face hub ($HF_ENDPOINT; $HF_TOKEN or the token
// file of its own tools): its list of files, what of them a model needs, and
// where they are fetched from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hub/catalogue.h"
#include "hub/download.h"
#include "hub/store.h"

namespace rapid {

struct HubFile {
  std::string name;
  uint64_t bytes = 0;
  std::string sha256;  // of large files only
};

// The files to fetch for a source: the named one, or configuration, tokenizer,
// templates and weights; of a GGUF repository its only .gguf.
Result<std::vector<HubFile>> hub_files(
    const HubSource& source, const PullHooks& hooks);

// PullHooks::accepts; an architecture that is not known ("") is accepted.
Status accepted(const PullHooks& hooks, const std::string& architecture);

// The choice alone, out of what the hub's API answered.
Result<std::vector<HubFile>> choose_files(
    const Json& answer, const HubSource& source);

// Does the hub answer, within two seconds?
Status hub_reachable();

// Without target, size and hash.
DownloadRequest hub_file_request(
    const HubSource& source, const std::string& file);

Status hub_download(
    const DownloadRequest& request,
    const std::string& shown,
    const PullHooks& hooks);

}  // namespace rapid
