#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/model_facts.h"
#include "cli/model_loading.h"
#include "cli/options.h"
#include "cli/table.h"
#include "formats/reasoning.h"
#include "hub/catalogue.h"
#include "hub/store.h"

namespace rapid {

namespace {

struct InfoOptions {
  ModelOption model;
  bool json = false;
};

struct Info {
  ModelPlace place;
  ModelFacts facts;
  std::string architecture;
  std::shared_ptr<const TextModel> text;

  const ReasoningStyle* reasoning() const {
    return reasoning_for(*text->format, text->reasoning);
  }
  bool calls_tools() const { return !text->format->syntaxes().empty(); }
  std::string chat_template() const {
    return !text->chat_template      ? "none"
           : text->fallback_template ? "fallback"
                                     : "own";
  }
};

Result<Info> open_info(const std::string& model) {
  Info out;
  out.place.name = model;
  if (find_in_catalogue(model)) {
    out.place.alias = model;
  }
  RAPID_TRY(const auto path, Store::open_default().locate(model));
  out.place.path = path.string();
  RAPID_TRY(const auto files, ModelFiles::open(out.place.path));
  out.facts = model_facts(*files);
  out.architecture = files->architecture;
  RAPID_TRY(out.text, open_text(out.place, ""));
  return out;
}

Json named(std::string_view name) {
  return name.empty() ? Json() : Json(name);
}

Json known(int64_t number) {
  return number > 0 ? Json(number) : Json();
}

template <typename Names>
Json list(const Names& names) {
  Json out = Json::array();
  for (const auto& name : names) {
    out.push_back(name);
  }
  return out;
}

Json tool_calls(const Info& info) {
  if (!info.calls_tools()) {
    return nullptr;
  }
  const FormatChoice& choice = info.text->format_choice;
  return {
      {"format", info.text->format->name()},
      {"aliases", list(info.text->format->aliases())},
      {"why", choice.why()},
      {"fit_as_well", list(choice.rivals)},
      {"tokens", list(choice.tokens)}};
}

Json reasoning(const Info& info) {
  const ReasoningStyle* style = info.reasoning();
  if (style == nullptr) {
    return nullptr;
  }
  return {
      {"style", style->name},
      {"aliases", list(style->aliases)},
      {"open", style->open},
      {"close", named(style->close)}};
}

Json end_tokens(const Info& info) {
  Json out = Json::array();
  for (const int32_t id : info.text->end_tokens) {
    out.push_back(
        {{"id", id}, {"text", info.text->tokenizer->token_bytes(id)}});
  }
  return out;
}

// A float's own digits: 0.7, not 0.699999988.
template <typename T>
void put(Json& out, const char* key, const std::optional<T>& value) {
  if (value) {
    out[key] = std::round(static_cast<double>(*value) * 1e6) / 1e6;
  }
}

Json sampling(const Info& info) {
  const chat::Sampling& from = info.text->defaults;
  Json out = Json::object();
  put(out, "temperature", from.temperature);
  put(out, "top_p", from.top_p);
  if (from.top_k) {
    out["top_k"] = *from.top_k;
  }
  put(out, "min_p", from.min_p);
  put(out, "repetition_penalty", from.repetition_penalty);
  return out;
}

Json to_json(const Info& info) {
  const ReasoningStyle* style = info.reasoning();
  return {
      {"name", info.place.name},
      {"alias", named(info.place.alias)},
      {"path", info.place.path},
      {"title", named(info.facts.title)},
      {"container", info.facts.container},
      {"architecture", info.architecture},
      {"parameters", info.facts.parameters},
      {"quantisation", info.facts.quantisation},
      {"file_bytes", info.facts.file_bytes},
      {"weight_bytes", info.facts.weight_bytes},
      {"tensors", info.facts.tensors},
      {"layers", known(info.facts.layers)},
      {"hidden_size", known(info.facts.hidden)},
      {"context_window", known(info.facts.context_length)},
      {"vocab_size", known(info.facts.vocabulary)},
      {"tokens", info.text->tokenizer->size()},
      {"chat_template", info.chat_template()},
      {"tool_call_parser",
       named(info.calls_tools() ? info.text->format->name() : "")},
      {"reasoning_parser", named(style ? style->name : "")},
      {"tool_calls", tool_calls(info)},
      {"reasoning", reasoning(info)},
      {"end_tokens", end_tokens(info)},
      {"sampling", sampling(info)}};
}

// "name (also a, b)"
template <typename Names>
std::string with_aliases(std::string_view name, const Names& aliases) {
  return aliases.empty()
             ? std::string(name)
             : fmt::format("{} (also {})", name, fmt::join(aliases, ", "));
}

// A sentence over lines of at most `width` bytes.
std::vector<std::string> folded(const std::string& text, size_t width) {
  std::vector<std::string> out(1);
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    if (!out.back().empty() && out.back().size() + 1 + word.size() > width) {
      out.emplace_back();
    }
    out.back() += (out.back().empty() ? "" : " ") + word;
    at = end + 1;
  }
  return out;
}

void line(std::string_view key, const std::string& value) {
  constexpr size_t kWidth = 60;
  std::string_view name = key;
  for (const std::string& part : folded(value, kWidth)) {
    fmt::print("{:<16}  {}\n", name, part);
    name = "";
  }
}

std::string json_text(std::string_view text) {
  return dump_json(Json(text));
}

void print_text(const Info& info) {
  const TextModel& text = *info.text;
  const std::string chat = info.chat_template();
  line(
      "chat template",
      chat == "own"        ? "the model's own"
      : chat == "fallback" ? "none of its own; the one of its architecture"
                           : "none: only /v1/completions works");
  if (info.calls_tools()) {
    line(
        "tool calls",
        with_aliases(text.format->name(), text.format->aliases()));
    line("", text.format_choice.why());
  } else {
    line("tool calls", "none: " + text.format_choice.why());
  }
  if (const ReasoningStyle* style = info.reasoning()) {
    line("reasoning", with_aliases(style->name, style->aliases));
    line("", json_text(style->open) + " ... " + json_text(style->close));
  } else {
    line("reasoning", "none");
  }
  std::vector<std::string> ends;
  for (const int32_t id : text.end_tokens) {
    ends.push_back(
        fmt::format("{} ({})", json_text(text.tokenizer->token_bytes(id)), id));
  }
  line("end tokens", fmt::format("{}", fmt::join(ends, ", ")));
  std::vector<std::string> defaults;
  const Json named_defaults = sampling(info);
  for (const auto& [key, value] : named_defaults.items()) {
    defaults.push_back(key + " " + dump_json(value));
  }
  line(
      "sampling",
      defaults.empty() ? "neither files nor catalogue name defaults"
                       : fmt::format("{}", fmt::join(defaults, ", ")));
}

void print(const Info& info) {
  const ModelFacts& facts = info.facts;
  const auto said = [](int64_t number) {
    return number > 0 ? fmt::format("{}", number)
                      : std::string("the files do not say");
  };
  line("model", info.place.name);
  line("path", info.place.path);
  if (!facts.title.empty()) {
    line("title", facts.title);
  }
  line(
      "architecture",
      fmt::format(
          "{}, {} layers, width {}",
          info.architecture,
          facts.layers,
          facts.hidden));
  line("parameters", human_count(static_cast<double>(facts.parameters)));
  line("quantisation", facts.quantisation);
  line(
      "size",
      fmt::format("{} ({})", human_bytes(facts.file_bytes), facts.container));
  line("context", said(facts.context_length) + " tokens");
  line(
      "vocabulary",
      fmt::format(
          "{} tokens, {} rows",
          info.text->tokenizer->size(),
          said(facts.vocabulary)));
  print_text(info);
}

int show_info(const InfoOptions& options) {
  const auto info = open_info(options.model.model);
  if (!info) {
    Error error = info.error();
    if (error.hint.empty()) {
      error.hint = "`rapid-mlx pull MODEL` fetches a model again";
    }
    return report(error);
  }
  if (options.json) {
    print_json(to_json(*info));
  } else {
    print(*info);
  }
  return kExitDone;
}

std::function<int()> configure(CLI::App& app) {
  auto options = std::make_shared<InfoOptions>();
  options->model.add(app, ModelOption::Need::required);
  add_json_flag(app, options->json);
  return [options] { return show_info(*options); };
}

}  // namespace

void register_command_info(CommandTable& table) {
  table.add({
      .name = "info",
      .summary = "What a model is: size, context, template, tool calls",
      .examples = "Examples:\n"
                  "  rapid-mlx info {model}\n"
                  "  rapid-mlx info ./model.gguf --json\n",
      .order = 22,
      .group = "Models",
      .configure = configure,
  });
}

}  // namespace rapid
