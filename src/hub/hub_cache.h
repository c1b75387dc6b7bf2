// Hugging Face's own cache on this machine, read only, and what makes a
// folder a complete model.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "hub/catalogue.h"

namespace rapid {

struct CachedModel {
  std::string name;  // org/name[@revision]
  std::filesystem::path path;
};

// $HF_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub or
// ~/.cache/huggingface/hub.
std::filesystem::path hub_cache_dir();

// The snapshot folder (or the file in it) of a source, if it is complete.
std::optional<std::filesystem::path> find_in_hub_cache(const HubSource& source);

// Every complete snapshot that a ref names.
std::vector<CachedModel> list_hub_cache();

// Has config.json and all its safetensors, or a .gguf.
bool is_model_folder(const std::filesystem::path& folder);

// Bytes of a file, or of all files below a folder, links followed.
uint64_t folder_bytes(const std::filesystem::path& folder);

}  // namespace rapid
