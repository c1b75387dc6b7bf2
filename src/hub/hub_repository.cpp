#include "hub/hub_repository.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <set>

#include "base/clock.h"
#include "hub/http_get.h"
#include "hub/hub_cache.h"
#include "hub/text_file.h"

namespace rapid {

namespace {

std::string endpoint() {
  const char* value = std::getenv("HF_ENDPOINT");
  std::string text = value && *value ? value : "https://huggingface.co";
  while (text.ends_with('/')) {
    text.pop_back();
  }
  return text;
}

// $HF_TOKEN, else what `hf auth login` left beside the hub's cache.
std::string token() {
  if (const char* value = std::getenv("HF_TOKEN")) {
    return value;
  }
  const char* named = std::getenv("HF_TOKEN_PATH");
  const auto text = read_optional_text(
      named ? std::filesystem::path(named)
            : hub_cache_dir().parent_path() / "token");
  std::string out = text ? *text : "";
  std::erase_if(out, [](unsigned char c) { return std::isspace(c); });
  return out;
}

bool plain(std::string_view name) {
  return !name.empty() && name.front() != '.' &&
         std::ranges::all_of(name, [](unsigned char c) {
           return std::isalnum(c) || c == '.' || c == '_' || c == '-';
         });
}

uint64_t size_of(const Json& entry) {
  const Json size = entry.value("size", Json());
  return size.is_number_unsigned() ? size.get<uint64_t>() : 0;
}

// The hub's "siblings", those with plain names in the folder; in `folders`
// others that have weights.
std::vector<HubFile> read_siblings(
    const Json& answer,
    std::string_view folder,
    std::set<std::string>& folders) {
  const std::string before = folder.empty() ? "" : std::string(folder) + "/";
  std::vector<HubFile> files;
  if (!answer.is_object() || !answer.contains("siblings")) {
    return files;
  }
  for (const Json& entry : answer["siblings"]) {
    if (!entry.is_object() || !entry.value("rfilename", Json()).is_string()) {
      continue;
    }
    HubFile file;
    file.name = entry["rfilename"].get<std::string>();
    file.bytes = size_of(entry);
    const Json lfs = entry.value("lfs", Json());
    if (lfs.is_object() && lfs.value("sha256", Json()).is_string()) {
      file.sha256 = lfs["sha256"].get<std::string>();
    }
    const size_t slash = file.name.rfind('/');
    if (slash != file.name.npos &&
        (file.name.ends_with(".safetensors") || file.name.ends_with(".gguf"))) {
      folders.insert(file.name.substr(0, slash));
    }
    if (file.name.starts_with(before)) {
      file.name.erase(0, before.size());
      if (plain(file.name)) {
        files.push_back(std::move(file));
      }
    }
  }
  return files;
}

bool is_weights(const HubFile& file) {
  return file.name.ends_with(".safetensors") &&
         !file.name.starts_with("consolidated");
}

bool is_side_file(const HubFile& file) {
  return file.name.ends_with(".json") || file.name.ends_with(".jinja") ||
         file.name == "tokenizer.model" || file.name == "merges.txt";
}

std::string names_of(const std::vector<HubFile>& files) {
  std::string names;
  for (const HubFile& file : files) {
    names += (names.empty() ? "" : ", ") + file.name;
  }
  return names;
}

std::vector<HubFile> pick(
    const std::vector<HubFile>& files, bool (*wanted)(const HubFile&)) {
  std::vector<HubFile> out;
  std::ranges::copy_if(files, std::back_inserter(out), wanted);
  return out;
}

// What the hub read out of a GGUF file; "" = nothing.
std::string named_architecture(const Json& answer) {
  if (!answer.is_object()) {
    return "";
  }
  const Json gguf = answer.value("gguf", Json());
  const Json named =
      gguf.is_object() ? gguf.value("architecture", Json()) : Json();
  return named.is_string() ? named.get<std::string>() : "";
}

}  // namespace

Result<std::vector<HubFile>> choose_files(
    const Json& answer, const HubSource& source) {
  std::set<std::string> folders;
  const auto files = read_siblings(answer, source.folder, folders);
  if (!source.file.empty()) {
    auto named = files;
    std::erase_if(
        named, [&](const HubFile& file) { return file.name != source.file; });
    if (named.empty()) {
      return Error{
          ErrorCode::not_found,
          fmt::format("{} has no file {}", source.repository, source.file),
          "it has: " + names_of(files)};
    }
    return named;
  }
  if (auto weights = pick(files, is_weights); !weights.empty()) {
    auto out = pick(files, is_side_file);
    std::ranges::move(weights, std::back_inserter(out));
    return out;
  }
  auto ggufs = pick(
      files, [](const HubFile& file) { return file.name.ends_with(".gguf"); });
  if (ggufs.size() == 1) {
    return ggufs;
  }
  if (ggufs.empty() && !folders.empty()) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format(
            "{} has its models in folders: {}",
            source.repository,
            fmt::join(folders, ", ")),
        fmt::format("name one: {}/FOLDER", source.repository)};
  }
  if (ggufs.empty()) {
    return Error{
        ErrorCode::unsupported,
        source.repository + " has neither .safetensors nor .gguf files",
        "choose a repository that has them"};
  }
  return Error{
      ErrorCode::invalid_argument,
      fmt::format(
          "{} has several models: {}", source.repository, names_of(ggufs)),
      fmt::format("name one: {}/FILE", source.repository)};
}

Status accepted(const PullHooks& hooks, const std::string& architecture) {
  return hooks.accepts && !architecture.empty() ? hooks.accepts(architecture)
                                                : Status();
}

Result<std::vector<HubFile>> hub_files(
    const HubSource& source, const PullHooks& hooks) {
  const std::string url = fmt::format(
      "{}/api/models/{}/revision/{}?blobs=true",
      endpoint(),
      source.repository,
      source.revision);
  RAPID_TRY(const std::string text, http_get_text(url, token(), [&] {
              return !hooks.cancelled || !hooks.cancelled();
            }));
  RAPID_TRY(const Json answer, parse_json(text));
  RAPID_TRY(auto files, choose_files(answer, source));
  // Of safetensors config.json says it.
  if (files.front().name.ends_with(".gguf")) {
    RAPID_CHECK(accepted(hooks, named_architecture(answer)));
  }
  return files;
}

Status hub_reachable() {
  constexpr double kPatience = 2;
  const double end = now_seconds() + kPatience;
  HttpSink sink;
  sink.begin = [](const HttpReply&) -> Status {
    // That it answers is all that was asked.
    return Error{ErrorCode::cancelled, ""};
  };
  sink.body = [](std::span<const std::byte>) { return Status(); };
  sink.keep_going = [&] { return now_seconds() < end; };
  const HttpOutcome out = http_get({.url = endpoint()}, sink);
  if (out.reply.status > 0) {
    return {};
  }
  return Error{
      ErrorCode::io,
      fmt::format("{} does not answer within {} s", endpoint(), kPatience)};
}

DownloadRequest hub_file_request(
    const HubSource& source, const std::string& file) {
  DownloadRequest request;
  request.url = fmt::format(
      "{}/{}/resolve/{}/{}{}{}",
      endpoint(),
      source.repository,
      source.revision,
      source.folder,
      source.folder.empty() ? "" : "/",
      file);
  request.bearer = token();
  return request;
}

Status hub_download(
    const DownloadRequest& request,
    const std::string& shown,
    const PullHooks& hooks) {
  return download_file(request, [&](uint64_t done, uint64_t total) {
    if (hooks.progress) {
      hooks.progress({shown, request.url, done, total});
    }
    return !hooks.cancelled || !hooks.cancelled();
  });
}

}  // namespace rapid
