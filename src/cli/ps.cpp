#include <fmt/format.h>

#include <cstdlib>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "base/json.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/table.h"
#include "hub/http_get.h"

namespace rapid {

namespace {

constexpr uint64_t kLongest = 1 << 20;

struct PsOptions {
  std::string url = "http://127.0.0.1:8000";
  std::string api_key;
  bool json = false;
};

// What /v1/models says. `url` may end in / or /v1.
Result<Json> served_models(const PsOptions& options) {
  std::string url = options.url;
  while (url.ends_with("/")) {
    url.pop_back();
  }
  if (url.ends_with("/v1")) {
    url.resize(url.size() - 3);
  }
  const auto text =
      http_get_text(url + "/v1/models", options.api_key, {}, kLongest);
  if (!text) {
    Error error = text.error();
    if (error.code == ErrorCode::unauthorized) {
      error.hint = "--api-key or RAPID_MLX_API_KEY";
    } else {
      error = {
          error.code,
          fmt::format("no server answers at {} ({})", url, error.what),
          "start one with `rapid-mlx serve`, or say where it is with --url"};
    }
    return error;
  }
  RAPID_TRY(Json reply, parse_json(*text));
  if (!reply.is_object() || !reply["data"].is_array()) {
    return Error{
        ErrorCode::corrupt,
        fmt::format("what answers at {} is no rapid-mlx", url),
        "say where it is with --url"};
  }
  return std::move(reply["data"]);
}

std::string bytes_of(const Json& model) {
  const auto bytes = model.value("resident_bytes", uint64_t{0});
  return bytes > 0 ? human_bytes(bytes) : "-";
}

void print_table(const Json& models) {
  using enum Table::Align;
  Table table(
      {{"MODEL"},
       {"STATE"},
       {"MEMORY", right},
       {"CONTEXT", right},
       {"REQUESTS", right},
       {"IDLE", right},
       {"PINNED"}});
  std::string notes;
  for (const Json& model : models) {
    if (model.contains("parent")) {  // an adapter: it stands as its model does
      continue;
    }
    const int context = model.value("context_length", 0);
    const int open = model.value("open_requests", 0);
    const std::string id = model.value("id", "");
    table.row(
        {id,
         model.value("state", "loaded"),
         bytes_of(model),
         context > 0 ? std::to_string(context) : "-",
         std::to_string(open),
         open > 0 ? "-" : human_seconds(model.value("idle_seconds", 0.0)),
         model.value("pinned", false) ? "yes" : "no"});
    for (const char* key : {"progress", "reason"}) {
      if (const std::string text = model.value(key, ""); !text.empty()) {
        notes += fmt::format("{}: {}\n", id, text);
      }
    }
  }
  fmt::print("{}{}", table.text(), notes);
}

int ps(const PsOptions& options) {
  const auto models = served_models(options);
  if (!models) {
    return report(models.error());
  }
  if (options.json) {
    print_json(*models);
  } else {
    print_table(*models);
  }
  return kExitDone;
}

std::function<int()> configure(CLI::App& app) {
  auto options = std::make_shared<PsOptions>();
  app.add_option("--url", options->url, "Where the server listens")
      ->option_text(fmt::format("URL ({})", options->url));
  app.add_option(
         "--api-key", options->api_key, "Its key; also from RAPID_MLX_API_KEY")
      ->option_text("KEY")
      ->envname("RAPID_MLX_API_KEY");
  add_json_flag(app, options->json);
  return [options] { return ps(*options); };
}

}  // namespace

void register_command_ps(CommandTable& table) {
  table.add({
      .name = "ps",
      .summary = "What a running server has loaded",
      .examples = "Examples:\n"
                  "  rapid-mlx ps\n"
                  "  rapid-mlx ps --url http://127.0.0.1:9000 --json\n",
      .order = 12,
      .group = "Run",
      .configure = configure,
  });
}

}  // namespace rapid
