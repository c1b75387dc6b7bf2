#include "cli/agent_target.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <CLI/CLI.hpp>

#include "base/clock.h"
#include "hub/http_get.h"

namespace rapid {

namespace {

constexpr double kPatience = 2.0;

std::string quoted(const std::string& word) {
  const bool plain =
      !word.empty() &&
      word.find_first_not_of(
          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
          "_-./:=@%+,") == word.npos;
  if (plain) {
    return word;
  }
  std::string out = "'";
  for (const char c : word) {
    out += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return out + "'";
}

// Clients are told the root; a person may have typed what they know.
std::string root_of(std::string url) {
  for (const std::string_view end : {"/", "/v1", "/"}) {
    if (url.ends_with(end)) {
      url.resize(url.size() - end.size());
    }
  }
  return url.find("://") == url.npos ? "http://" + url : url;
}

}  // namespace

void AgentTargetFlags::add(CLI::App& app) {
  app.add_option("--url", url, "The server")->option_text("URL (" + url + ")");
  app.add_option("--model", model, "Else the one that the server has")
      ->option_text("NAME");
  app.add_option("--key", key, "The server's API key; else $RAPID_MLX_API_KEY")
      ->option_text("KEY");
}

FoundTarget find_target(const AgentTargetFlags& flags) {
  FoundTarget out;
  out.target.root = root_of(flags.url);
  const char* known = std::getenv("RAPID_MLX_API_KEY");
  out.target.key = !flags.key.empty() || known == nullptr ? flags.key : known;
  const double end = now_seconds() + kPatience;
  const auto text = http_get_text(
      out.target.v1() + "/models",
      out.target.key,
      [end] { return now_seconds() < end; },
      1 << 20);
  const auto models = text ? parse_json(*text) : Result<Json>(text.error());
  if (!models) {
    out.trouble = models.error().what;
  } else {
    const Json data = models->value("data", Json::array());
    const Json* chosen = nullptr;
    for (const Json& model : data) {
      if (flags.model.empty() || model.value("id", "") == flags.model) {
        chosen = &model;
        break;
      }
    }
    if (chosen == nullptr) {
      out.trouble = flags.model.empty() ? "the server has no model"
                                        : "the server has no " + flags.model;
    } else {
      out.target.model = chosen->value("id", "default");
      out.target.context = chosen->value("context_length", out.target.context);
    }
  }
  if (!flags.model.empty()) {
    out.target.model = flags.model;
  }
  return out;
}

Error does_not_answer(const FoundTarget& found) {
  return {
      ErrorCode::io,
      found.target.root + " does not answer: " + found.trouble,
      "start it with: rapid-mlx serve"};
}

Result<AgentTarget> answering_target(const AgentTargetFlags& flags) {
  const FoundTarget found = find_target(flags);
  if (!found.trouble.empty()) {
    return does_not_answer(found);
  }
  return found.target;
}

void print_notes(const AgentProfile& profile, const FoundTarget& found) {
  const AgentTarget& target = found.target;
  if (!found.trouble.empty()) {
    fmt::print(
        stderr,
        "note: {} does not tell its model ({}); taking \"{}\", context {}\n",
        target.root,
        found.trouble,
        target.model,
        target.context);
  } else if (target.context < profile.least_context) {
    fmt::print(
        stderr,
        "note: {} refuses models of fewer than {} tokens of context, and {} "
        "takes {} here; serve one that takes more\n",
        profile.title,
        profile.least_context,
        target.model,
        target.context);
  }
}

std::string shell_exports(const Environment& environment) {
  std::string out;
  for (const auto& [name, value] : environment) {
    out += "export " + name + "=" + quoted(value) + "\n";
  }
  return out;
}

std::string shell_command(const std::vector<std::string>& command) {
  std::string out;
  for (const std::string& word : command) {
    out += (out.empty() ? "" : " ") + quoted(word);
  }
  return out;
}

Json plan_json(const AgentProfile& profile, const AgentPlan& plan) {
  Json variables = Json::object();
  for (const auto& [name, value] : plan.environment) {
    variables[name] = value;
  }
  Json files = Json::array();
  for (const ConfigEdit& edit : plan.edits) {
    files.push_back({{"path", edit.path}, {"patch", edit.patch}});
  }
  return {
      {"name", profile.name},
      {"title", profile.title},
      {"route", profile.speaks},
      {"install", profile.install},
      {"obstacle", profile.obstacle},
      {"environment", variables},
      {"files", files},
      {"launch", plan.launch},
      {"headless", plan.headless},
      {"snippet", plan.snippet}};
}

}  // namespace rapid
