#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include <CLI/CLI.hpp>

#include "advice/advice.h"
#include "agents/registry.h"
#include "base/child_process.h"
#include "base/home.h"
#include "base/platform.h"
#include "bench/build_info.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/settings.h"
#include "cli/table.h"
#include "engine/build_features.h"
#include "hub/download.h"
#include "hub/hub_repository.h"
#include "hub/model_files.h"
#include "hub/store.h"
#include "hub/user_aliases.h"

namespace rapid {

namespace {

namespace fs = std::filesystem;

struct DoctorOptions {
  int port = 8000;
  bool deep = false;
  bool offline = false;
  bool json = false;
};

enum class State { ok, warn, fail };

struct Finding {
  std::string what;
  State state = State::ok;
  std::string text;
  std::string hint;  // what to do about it
};

using Findings = std::vector<Finding>;

void look_at_machine(Findings& out) {
  const std::string device = auto_device();
  const Machine machine = this_machine("auto");
  out.push_back(
      {"chip",
       State::ok,
       fmt::format("{}, {} threads", chip_name(), machine.threads)});
  const uint64_t least = uint64_t{1} << 30;
  out.push_back(
      {"memory",
       machine.usable < least ? State::warn : State::ok,
       fmt::format(
           "{}, {} for a model ({})",
           human_bytes(machine.memory),
           human_bytes(machine.usable),
           machine.memory_why),
       machine.usable < least ? "close other programs" : ""});
  out.push_back(
      {"bandwidth",
       State::ok,
       fmt::format(
           "{:.1f} GB/s{}",
           machine.bandwidth / 1e9,
           machine.measured ? ", measured" : ", by its chip")});
  out.push_back(
      {"device", State::ok, fmt::format("{} (MLX {})", device, mlx_version())});
}

void look_at_disk(Findings& out) {
  constexpr uint64_t kGB = 1000000000;
  const fs::path home = home_dir();
  std::error_code failed;
  fs::create_directories(home, failed);
  const bool writable = ::access(home.c_str(), W_OK) == 0;
  if (failed || !writable) {
    out.push_back(
        {"disk",
         State::fail,
         fmt::format("{} cannot be written", home.string()),
         "set RAPID_MLX_HOME to a folder of yours"});
    return;
  }
  const auto space = fs::space(home, failed);
  const uint64_t free = failed ? 0 : space.available;
  out.push_back(
      {"disk",
       free < kGB        ? State::fail
       : free < 20 * kGB ? State::warn
                         : State::ok,
       fmt::format("{} free at {}", human_bytes(free), home.string()),
       free < 20 * kGB ? "`rapid-mlx ls` and `rapid-mlx rm` make room" : ""});
}

// Opens and checks what is stored; `deep` reads every byte of those whose hash
// is known.
Finding look_at_model(const StoredModel& model, bool deep) {
  Finding out{model.name, State::ok, human_bytes(model.bytes)};
  const CatalogueEntry* entry = find_in_catalogue(model.name);
  fs::path path = model.path;
  if (entry != nullptr && !entry->file.empty()) {
    path /= entry->file;
  }
  out.hint =
      fmt::format("`rapid-mlx rm {0}`, `rapid-mlx pull {0}`", model.name);
  const auto files = ModelFiles::open(path.string());
  if (!files) {
    out.state = State::fail;
    out.text = files.error().what;
    return out;
  }
  if (!runs_architecture((*files)->architecture)) {
    out.state = State::warn;
    out.text = fmt::format(
        "the architecture {} does not run here", (*files)->architecture);
    out.hint = "";
    return out;
  }
  if (deep && entry != nullptr && !entry->sha256.empty()) {
    const auto hash = file_sha256(path);
    if (!hash || *hash != entry->sha256) {
      out.state = State::fail;
      out.text = "its bytes are not those of the catalogue";
      return out;
    }
    out.text += ", every byte checked";
  }
  out.hint = "";
  return out;
}

void look_at_models(Findings& out, bool deep) {
  const auto models = Store::open_default().list();
  if (!models) {
    out.push_back({"models", State::fail, models.error().what});
    return;
  }
  out.push_back(
      {"models",
       State::ok,
       models->empty() ? "none yet" : fmt::format("{}", models->size()),
       models->empty() ? "`rapid-mlx recipe` proposes one" : ""});
  for (const StoredModel& model : *models) {
    out.push_back(look_at_model(model, deep));
  }
}

void look_at_settings(Findings& out) {
  const auto aliases = user_aliases();
  const auto settings = read_settings();
  const Error* wrong = !aliases    ? &aliases.error()
                       : !settings ? &settings.error()
                                   : nullptr;
  if (wrong != nullptr) {
    out.push_back({"settings", State::fail, wrong->what, wrong->hint});
    return;
  }
  out.push_back(
      {"settings",
       State::ok,
       fmt::format(
           "{} aliases, {} commands with defaults",
           aliases->size(),
           settings->size())});
}

void look_at_port(Findings& out, int port) {
  const int probe = ::socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  ::setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool free =
      ::bind(probe, reinterpret_cast<sockaddr*>(&address), sizeof(address)) ==
      0;
  ::close(probe);
  out.push_back(
      {"port",
       free ? State::ok : State::warn,
       fmt::format("{} is {}", port, free ? "free" : "taken"),
       free ? "" : "`rapid-mlx ps` if that is a server of ours; else --port"});
}

void look_at_agents(Findings& out) {
  std::string names;
  for (const AgentProfile& profile : AgentRegistry::global().all()) {
    if (!profile.program.empty() && find_program(profile.program)) {
      names += (names.empty() ? "" : ", ") + profile.name;
    }
  }
  out.push_back(
      {"agents",
       State::ok,
       names.empty() ? "none found" : names,
       names.empty() ? "" : "`rapid-mlx agents NAME --setup` points one here"});
}

void look_at_network(Findings& out) {
  const auto answer = hub_reachable();
  out.push_back(
      {"network",
       answer ? State::ok : State::warn,
       answer ? "the hub answers" : answer.error().what,
       answer ? "" : "models can't be fetched; HF_ENDPOINT names a mirror"});
}

const char* name_of(State state) {
  static constexpr const char* kNames[] = {"ok", "warn", "fail"};
  return kNames[static_cast<int>(state)];
}

int doctor(const DoctorOptions& options) {
  Findings found;
  look_at_machine(found);
  look_at_disk(found);
  look_at_models(found, options.deep);
  look_at_settings(found);
  look_at_port(found, options.port);
  look_at_agents(found);
  if (!options.offline) {
    look_at_network(found);
  }
  bool fine = true;
  Json out = Json::array();
  Table table({{"STATE"}, {"WHAT"}, {"FOUND"}});
  for (const Finding& each : found) {
    fine = fine && each.state != State::fail;
    out.push_back(
        {{"what", each.what},
         {"state", name_of(each.state)},
         {"found", each.text},
         {"hint", each.hint.empty() ? Json() : Json(each.hint)}});
    table.row({name_of(each.state), each.what, each.text});
    if (!each.hint.empty()) {
      table.row({"", "", each.hint});
    }
  }
  if (options.json) {
    print_json({{"ok", fine}, {"checks", std::move(out)}});
  } else {
    fmt::print("{}", table.text());
  }
  return fine ? kExitDone : kExitFailed;
}

std::function<int()> configure(CLI::App& app) {
  auto options = std::make_shared<DoctorOptions>();
  app.add_option("--port", options->port, "The port that shall be free")
      ->option_text("N (8000)")
      ->check(CLI::Range(1, 65535).description(""));
  app.add_flag("--deep", options->deep, "Read and check every stored byte");
  app.add_flag("--offline", options->offline, "Leave the network alone");
  add_json_flag(app, options->json);
  return [options] { return doctor(*options); };
}

}  // namespace

void register_command_doctor(CommandTable& table) {
  table.add({
      .name = "doctor",
      .summary = "Look whether all is well with this machine",
      .examples = "Exit 1 if something fails; a warning is none.\n",
      .order = 81,
      .group = "Set up",
      .configure = configure,
  });
}

}  // namespace rapid
