#include "engine/script.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "base/utf8.h"
#include "engine/history.h"
#include "formats/reasoning.h"
#include "formats/registry.h"

namespace rapid {
namespace {

constexpr int kVersion = 1;
constexpr int32_t kEnd = 0;  // the token; words come behind it

void need(bool holds, const std::string& what) {
  if (!holds) {
    throw std::invalid_argument(what);
  }
}

void only_keys(
    const Json& object,
    std::initializer_list<std::string_view> known,
    const std::string& where) {
  need(object.is_object(), where + " is no object");
  for (const auto& [key, value] : object.items()) {
    need(
        std::ranges::find(known, std::string_view(key)) != known.end(),
        where + " has no field \"" + key + "\"");
  }
}

std::string text_of(
    const Json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end()) {
    return "";
  }
  need(found->is_string(), where + "." + key + " is no text");
  return found->get<std::string>();
}

std::vector<chat::ToolCall> calls_of(
    const Json& turn, const std::string& where) {
  std::vector<chat::ToolCall> out;
  for (const Json& call : turn.value("calls", Json::array())) {
    only_keys(call, {"name", "arguments"}, where + ".calls");
    const std::string name = text_of(call, "name", where + ".calls");
    need(!name.empty(), where + ".calls: a call has no name");
    const Json arguments = call.value("arguments", Json::object());
    need(arguments.is_object(), where + ".calls: arguments are no object");
    out.push_back({"", name, spaced_json(arguments)});
  }
  return out;
}

// The tools that the calls of a turn need, all of them said to take anything.
ToolSet tools_of(const std::vector<chat::ToolCall>& calls) {
  FormatInput input;
  for (const chat::ToolCall& call : calls) {
    input.tools.push_back({.name = call.name, .parameters = Json::object()});
  }
  return ToolSet(input);
}

Script::Turn turn_from(
    const Json& json,
    const std::string& where,
    const OutputFormat& format,
    const ReasoningStyle* style) {
  only_keys(json, {"reasoning", "content", "calls", "output"}, where);
  Script::Turn out;
  if (json.contains("output")) {
    need(json.size() == 1, where + ": output stands alone");
    out.output = text_of(json, "output", where);
    return out;
  }
  out.content = text_of(json, "content", where);
  out.calls = calls_of(json, where);
  const std::string thought = text_of(json, "reasoning", where);
  if (!thought.empty()) {
    need(
        style != nullptr && style->channels == nullptr,
        where + ".reasoning: the script names no reasoning style with tags");
    out.output =
        std::string(style->open) + thought + std::string(style->close) + "\n";
  }
  out.output += out.content;
  if (!out.calls.empty()) {
    const RenderCalls render = render_calls_of(format);
    need(render != nullptr, "the format writes no calls");
    out.output += (out.content.empty() ? "" : "\n") +
                  render(out.calls, tools_of(out.calls));
  }
  return out;
}

// Words with the space before them, so that an answer streams like a model's.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> out;
  bool open = false;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\n';
    if (!open || space) {
      out.emplace_back();
    }
    out.back() += c;
    open = c != '\n' && c != ',' && c != ':' && c != '>';
  }
  return out;
}

std::string trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \n\r\t");
  return first == text.npos
             ? ""
             : std::string(text.substr(
                   first, text.find_last_not_of(" \n\r\t") - first + 1));
}

// Follows a script through a history. Clients write arguments anew, drop
// spaces, and some make one message of each call; names and texts remain.
class Reader {
 public:
  explicit Reader(const std::vector<Script::Turn>& turns) : turns_(turns) {}

  void read(const chat::Message& message) {
    if (message.role != "assistant" || said_ == turns_.size()) {
      return;
    }
    const Script::Turn& turn = turns_[said_];
    if (turn.calls.empty()) {
      // What a raw output became is the parser's matter: any answer will do.
      said_ += turn.content.empty() ||
               (message.tool_calls.empty() &&
                trimmed(message.content) == trimmed(turn.content));
      return;
    }
    for (const chat::ToolCall& call : message.tool_calls) {
      called_ =
          called_ < turn.calls.size() && call.name == turn.calls[called_].name
              ? called_ + 1
              : 0;
    }
    if (called_ == turn.calls.size()) {
      ++said_;
      called_ = 0;
    }
  }
  size_t said() const { return said_; }

 private:
  const std::vector<Script::Turn>& turns_;
  size_t said_ = 0;
  size_t called_ = 0;  // calls of the turn that comes
};

}  // namespace

Result<Script> Script::from(const Json& json) {
  try {
    only_keys(
        json,
        {"script",
         "name",
         "format",
         "reasoning",
         "context_length",
         "turns",
         "aside"},
        "the script");
    need(json.at("script") == kVersion, "it is of another version");
    Script out;
    out.name_ = json.value("name", out.name_);
    out.context_length_ = json.value("context_length", out.context_length_);
    need(out.context_length_ > 0, "context_length is not positive");
    const std::string format = json.value("format", "auto");
    const auto known = FormatRegistry::global().find(format);
    need(known != nullptr, "no format is named \"" + format + "\"");
    out.format_ = known->name();
    const std::string style = json.value("reasoning", "");
    const ReasoningStyle* reasoning = find_reasoning_style(style);
    need(
        style.empty() || reasoning != nullptr,
        "no reasoning style is named \"" + style + "\"");
    out.reasoning_ = style;
    reasoning = reasoning_for(*known, reasoning);
    need(
        json.contains("turns") && json.at("turns").is_array() &&
            !json.at("turns").empty(),
        "it has no turns");
    for (const Json& turn : json.at("turns")) {
      const std::string where =
          "turns[" + std::to_string(out.turns_.size()) + "]";
      out.turns_.push_back(turn_from(turn, where, *known, reasoning));
    }
    if (json.contains("aside")) {
      out.aside_ = turn_from(json.at("aside"), "aside", *known, reasoning);
    }
    return out;
  } catch (const std::exception& e) {
    return Error{
        ErrorCode::corrupt, std::string("this is no script: ") + e.what()};
  }
}

std::vector<Recording> Script::recordings() const {
  std::map<std::string, int32_t> ids;
  std::vector<Recording> out;
  const auto add = [&](const Turn& turn, const std::string& id) {
    Recording& one = out.emplace_back();
    one.id = id;
    one.model.name = one.model.alias = name_;
    one.model.format = format_;
    one.model.reasoning = reasoning_;
    one.model.architecture = "script";
    one.model.context_length = context_length_;
    one.model.chat_template = "script";  // it takes messages
    one.model.end_tokens = {kEnd};
    one.request = {{"messages", Json::array()}};
    one.lines = {turn.output};
    RecordedRun& run = one.runs.emplace_back();
    run.request.prompt = {kEnd};
    run.request.choices = 1;
    run.request.sampling.seed = out.size();  // ids of calls come from it
    RecordedChoice& choice = run.choices.emplace_back();
    for (const std::string& word : words_of(turn.output)) {
      const auto next = static_cast<int32_t>(ids.size()) + 1;
      const int32_t token = ids.try_emplace(word, next).first->second;
      choice.tokens.push_back(token);
      one.text[token] = {word};
    }
    choice.end = EngineChoiceEnd::Reason::end_token;
    choice.end_token = kEnd;
  };
  for (size_t i = 0; i < turns_.size(); ++i) {
    add(turns_[i], "turn " + std::to_string(i + 1));
  }
  if (aside_) {
    add(*aside_, "aside");
  }
  for (Recording& one : out) {
    one.model.vocabulary = static_cast<int>(ids.size()) + 1;
  }
  return out;
}

bool Script::is_aside(const chat::Request& request) const {
  return aside_ && request.tools.empty() &&
         std::ranges::any_of(
             turns_, [](const Turn& turn) { return !turn.calls.empty(); });
}

int Script::next(const chat::Request& request) const {
  if (is_aside(request)) {
    return static_cast<int>(turns_.size());
  }
  Reader reader(turns_);
  for (const chat::Message& message : request.messages) {
    reader.read(message);
  }
  size_t said = reader.said();
  if (said == turns_.size() && turns_.back().calls.empty()) {
    --said;
  }
  return said < turns_.size() ? static_cast<int>(said) : -1;
}

}  // namespace rapid
