#include "cli/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <limits>
#include <map>

#include <CLI/CLI.hpp>

#include "cli/default_model.h"

namespace rapid {

namespace {

// strtoull would take "-1" for the largest seed.
std::string check_seed(const std::string& text) {
  const bool digits =
      !text.empty() &&
      std::all_of(text.begin(), text.end(), [](unsigned char c) {
        return std::isdigit(c);
      });
  return digits ? "" : "expected a whole number from 0 on, got " + text;
}

// NAME=FOLDER
std::string check_adapter(const std::string& text) {
  const size_t at = text.find('=');
  const auto plain = [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '_' || c == '.';
  };
  if (at == std::string::npos || at == 0 || at + 1 == text.size() ||
      !std::all_of(text.begin(), text.begin() + at, plain)) {
    return "expected NAME=FOLDER, a name of letters, digits, - _ and .; got " +
           text;
  }
  return "";
}

}  // namespace

void ModelOption::add(CLI::App& app, Need need) {
  auto* option = app.add_option(
      "MODEL",
      model,
      "A short name (see `rapid-mlx models`), org/name[@revision][/folder], a "
      "folder, "
      "or a .gguf file");
  option->option_text(" ");
  if (need == Need::required) {
    option->required();
  } else {
    option->description(
        option->get_description() + "; when omitted " + default_model());
  }
}

std::string check_device(const std::string& device) {
  if (device == "auto" || device == "cpu" || device == "metal" ||
      device == "cuda") {
    return "";
  }
  const std::string prefix = "cuda:";
  if (device.rfind(prefix, 0) == 0 && device.size() > prefix.size() &&
      device.size() <= prefix.size() + 3 &&
      std::all_of(
          device.begin() + prefix.size(), device.end(), [](unsigned char c) {
            return std::isdigit(c);
          })) {
    return "";
  }
  return fmt::format(
      "`{}` is not a device: expected auto, cpu, metal, cuda or cuda:N",
      device);
}

void EngineFlags::add(CLI::App& app, const char* threads_flag) {
  app.add_option("--device", device, "auto, cpu, metal, cuda or cuda:N")
      ->option_text("NAME (auto)")
      ->check(CLI::Validator(check_device, ""));
  app.add_option(threads_flag, threads, "CPU threads; 0 = all cores")
      ->option_text("N (0)")
      ->check(CLI::Range(0, 1024).description(""));
  app.add_option("--ctx", context, "Context in tokens; 0 = the model's own")
      ->option_text("N (0)")
      ->check(CLI::Range(0, 1 << 24).description(""));
  auto* floats = app.add_flag("--exact", exact, "float32 activations and KV");
  app.add_option(
         "--kv-bits",
         kv_bits,
         "Keys and values: 16 (float16), or 8 or 4 for more context in less "
         "memory; not with --exact")
      ->option_text("N (16)")
      ->check(CLI::IsMember({16, 8, 4}).description(""))
      ->excludes(floats);
}

EngineOptions EngineFlags::engine_options(const std::string& path) const {
  return {
      .model_path = path,
      .device = device,
      .threads = threads,
      .context = context,
      .exact = exact,
      .kv_bits = kv_bits,
      .adapters = adapters,
      .speculation = speculation,
  };
}

void EngineFlags::add_speculation(CLI::App& app) {
  static const std::map<std::string, Speculation> kNames = {
      {"auto", Speculation::automatic},
      {"off", Speculation::off},
      {"ngram", Speculation::ngram}};
  speculation = Speculation::automatic;
  app.add_option_function<std::string>(
         "--speculate",
         [this](const std::string& name) { speculation = kNames.at(name); },
         "Several tokens a step where text repeats, the answer is the same: "
         "auto (on the CPU), ngram or off")
      ->option_text("NAME (auto)")
      ->check(CLI::IsMember(kNames).description(""));
  app.add_option(
         "--draft",
         draft,
         "A smaller model with the same vocabulary that guesses, too")
      ->option_text("MODEL");
}

void EngineFlags::add_adapters(CLI::App& app, const char* what) {
  const auto take = [this](const std::vector<std::string>& given) {
    for (const std::string& each : given) {
      const size_t at = each.find('=');
      const std::string name = each.substr(0, at);
      for (const AdapterSource& other : adapters) {
        if (other.name == name) {
          throw CLI::ValidationError("--adapter", name + " is there twice");
        }
      }
      adapters.push_back({name, each.substr(at + 1)});
    }
  };
  app.add_option_function<std::vector<std::string>>("--adapter", take, what)
      ->option_text("NAME=FOLDER")
      ->allow_extra_args(false)
      ->check(CLI::Validator(check_adapter, ""));
}

void SamplingFlags::add(CLI::App& app) {
  app.add_option("--temperature", temperature, "0 = always the likeliest token")
      ->option_text("X")
      ->check(CLI::Range(0.0, 2.0).description(""));
  app.add_option("--top-p", top_p, "Draw from the likeliest X of probability")
      ->option_text("X")
      ->check(CLI::Range(1e-6, 1.0).description(""));
  app.add_option("--top-k", top_k, "Draw from the N likeliest; 0 = all")
      ->option_text("N")
      ->check(CLI::Range(0, std::numeric_limits<int>::max()).description(""));
  app.add_option("--min-p", min_p, "Drop what is under X of the likeliest")
      ->option_text("X")
      ->check(CLI::Range(0.0, 0.999999).description(""));
  app.add_option("--repetition-penalty", repetition_penalty, "1 = no penalty")
      ->option_text("X")
      ->check(CLI::Range(1e-6, 2.0).description(""));
  app.add_option("--seed", seed, "The same seed gives the same answer")
      ->option_text("N")
      ->check(CLI::Validator(check_seed, ""));
}

chat::Sampling SamplingFlags::sampling() const {
  return {
      .temperature = temperature,
      .top_p = top_p,
      .top_k = top_k,
      .min_p = min_p,
      .repetition_penalty = repetition_penalty,
      .seed = seed,
  };
}

void add_front_flags(CLI::App& app, FrontOptions& front) {
  static const std::map<std::string, LoopGuard> kNames = {
      {"off", LoopGuard::off},
      {"report", LoopGuard::report},
      {"break", LoopGuard::stop}};
  app.add_option_function<std::string>(
         "--loop-guard",
         [&front](const std::string& name) {
           front.loop_guard = kNames.at(name);
         },
         "Answers that repeat themselves: off, report or break")
      ->option_text("NAME (report)")
      ->check(CLI::IsMember(kNames).description(""));
  app.add_option_function<std::string>(
         "--history",
         [&front](const std::string& name) {
           front.template_history = name == "template";
         },
         "Earlier turns: keep as generated, or as the template has them")
      ->option_text("keep|template (keep)")
      ->check(CLI::IsMember({"keep", "template"}).description(""));
  app.add_flag(
      "--no-redecode{false}",
      front.redecode,
      "Malformed tool calls are rejected, not decoded again");
}

void add_json_flag(CLI::App& app, bool& json) {
  app.add_flag("--json", json, "Print JSON");
}

void print_json(const Json& value) {
  const std::string text =
      value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  std::fputs(text.c_str(), stdout);
}

}  // namespace rapid
