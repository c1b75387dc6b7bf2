// The catalogue of models known by a short name (data/catalogue.json, compiled
// in), their configurations (data/model_configs.json) and the parser of their
// sources. One entry = one checkpoint in one quantisation; it has an alias and
// may have more names.
//
// A source is `hf:org/name[@revision][/folder][/file]` or
// `wheel:package==version[,package==version...]#GLOB`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace rapid {

struct HubSource {
  std::string repository;  // org/name
  std::string revision;    // "main" when none is given
  std::string file;        // "" = all of the folder that a model needs
  std::string folder;      // "" = the top
};

struct WheelSource {
  std::vector<std::string> requirements;  // "package==version"
  std::string glob;  // fnmatch on a member's path; * crosses /
};

struct ModelSource {
  std::string text;  // as written
  std::optional<HubSource> hub;
  std::optional<WheelSource> wheel;
};

struct CatalogueEntry {
  std::string alias;
  std::vector<std::string> aliases;  // more names
  std::string description;
  std::string architecture;  // as config.json's model_type
  std::string quantisation;  // "4bit", "mxfp4", "Q4_K_M"
  std::string format;        // of tool calls; "" = none known
  std::string reasoning;     // style; "" = none known
  bool hybrid = false;       // some layers are recurrent
  bool moe = false;
  int context = 0;  // tokens it was trained for
  Json sampling;    // recommended: temperature, top_p ...; null = none
  // What `recipe` may propose, and its order: of two that fit, the higher.
  int preference = 0;  // 0 = never proposed
  std::string config;  // name of its model_config(); "" = not known
  std::string file;    // name of the joined file in the store; "" = the folder
                       // of its first source
  uint64_t bytes = 0;  // of the download; to 0.1 GB where sha256 is empty
  uint64_t read_bytes = 0;  // of it, by a token; 0 = as its configuration says
  std::string sha256;       // "" = the hub tells that of each file
  std::vector<ModelSource> sources;  // tried in order

  bool answers_to(std::string_view name) const;  // in any case of letters
};

Result<ModelSource> parse_source(std::string_view text);

const std::vector<CatalogueEntry>& catalogue();
const CatalogueEntry* find_in_catalogue(std::string_view name);

// What config.json says of a model's shape; null when the name is unknown.
const Json* model_config(std::string_view name);
// All names of model_config().
std::vector<std::string> model_config_names();

// The names that a mistyped one may have meant, the most likely first.
std::vector<std::string> similar_names(std::string_view typed, size_t most);

}  // namespace rapid
