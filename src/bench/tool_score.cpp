// tool_score(): requests that each want one call, and what a right one holds.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "bench/served_bench.h"

namespace rapid {
namespace {

// name, description, then required parameters with their types.
constexpr std::string_view kTools = R"json([
  ["get_weather", "Weather of a city now", {"city": "string"}],
  ["search_files", "Finds files by a pattern", {"pattern": "string", "folder": "string"}],
  ["read_file", "Reads a text file", {"path": "string"}],
  ["run_command", "Runs a shell command", {"command": "string"}],
  ["send_message", "Sends a message to a person", {"to": "string", "text": "string"}],
  ["create_event", "Puts an event into the calendar", {"title": "string", "date": "string"}],
  ["convert_money", "Converts an amount of money", {"amount": "number", "from": "string", "to": "string"}],
  ["set_timer", "Rings after some minutes", {"minutes": "integer"}]
])json";

// What the user says, the tool, and parts of its arguments in lower case.
constexpr std::string_view kTrials = R"json([
  ["What is the weather in Paris right now?", "get_weather", {"city": "paris"}],
  ["Please check the weather in Tokyo.", "get_weather", {"city": "tokyo"}],
  ["Find all files that match *.py in the folder src.", "search_files", {"pattern": "*.py", "folder": "src"}],
  ["Show me what is in the file README.md.", "read_file", {"path": "readme.md"}],
  ["Read the file config/settings.json.", "read_file", {"path": "config/settings.json"}],
  ["Run the command ls -la.", "run_command", {"command": "ls -la"}],
  ["Run git status in the shell.", "run_command", {"command": "git status"}],
  ["Send Anna this message: I will be late.", "send_message", {"to": "anna", "text": "late"}],
  ["Create the event Dentist on 2026-05-04 in my calendar.", "create_event", {"title": "dentist", "date": "2026-05-04"}],
  ["How much are 100 USD in EUR? Convert it.", "convert_money", {"amount": "100", "from": "usd", "to": "eur"}],
  ["Set a timer for 10 minutes.", "set_timer", {"minutes": "10"}],
  ["Wake me in 25 minutes with a timer.", "set_timer", {"minutes": "25"}],
  ["What is the capital of France? Answer in one word.", "", {}],
  ["Say hello.", "", {}]
])json";

// Calls are longer than the text that a speed is measured on.
constexpr int kTokensOfCall = 4;

Json declared_tools() {
  Json out = Json::array();
  for (const Json& tool : Json::parse(kTools)) {
    Json properties = Json::object();
    Json required = Json::array();
    for (const auto& [name, type] : tool[2].items()) {
      properties[name] = {{"type", type}};
      required.push_back(name);
    }
    out.push_back(
        {{"type", "function"},
         {"function",
          {{"name", tool[0]},
           {"description", tool[1]},
           {"parameters",
            {{"type", "object"},
             {"properties", std::move(properties)},
             {"required", std::move(required)}}}}}});
  }
  return out;
}

std::string lower_text(const Json& value) {
  std::string out =
      value.is_string() ? value.get<std::string>() : dump_json(value);
  std::ranges::transform(out, out.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return out;
}

// The wanted values, in any order of keys and with more around them.
bool holds(const Json& arguments, const Json& wanted) {
  for (const auto& [key, part] : wanted.items()) {
    if (!arguments.contains(key) ||
        lower_text(arguments[key]).find(part.get<std::string>()) ==
            std::string::npos) {
      return false;
    }
  }
  return true;
}

bool has_all(const Json& arguments, const std::string& name) {
  for (const Json& tool : Json::parse(kTools)) {
    if (tool[0] == name) {
      return std::ranges::all_of(tool[2].items(), [&](const auto& item) {
        return arguments.contains(item.key());
      });
    }
  }
  return false;
}

// What is wrong with the answer, "" for nothing; counts it.
std::string judge(
    ToolScore& score, const ServedAnswer& answer, const Json& trial) {
  const auto wanted = trial[1].get<std::string>();
  if (wanted.empty()) {
    ++score.quiet_asked;
    score.quiet += answer.tool_calls.empty() ? 1 : 0;
    return answer.tool_calls.empty() ? "" : "a call where none was wanted";
  }
  ++score.asked;
  if (answer.tool_calls.empty()) {
    return "no call; " + answer.content.substr(0, 80);
  }
  ++score.called;
  const Json& call = answer.tool_calls[0];
  const auto name = call.at("name").get<std::string>();
  const auto arguments = parse_json(call.at("arguments").get<std::string>());
  const bool object = arguments && arguments->is_object();
  if (object && has_all(*arguments, name)) {
    ++score.valid;
  }
  if (name != wanted) {
    return fmt::format("{} instead of {}", name, wanted);
  }
  ++score.right_name;
  if (!object || !holds(*arguments, trial[2])) {
    return fmt::format(
        "{} with {}", name, call.at("arguments").get<std::string>());
  }
  ++score.right;
  return "";
}

}  // namespace

Result<ToolScore> tool_score(
    const ChatTarget& target, int rounds, const TrialOptions& options) {
  ToolScore score;
  const Json tools = declared_tools();
  for (int round = 0; round < rounds; ++round) {
    for (const Json& trial : Json::parse(kTrials)) {
      const auto text = trial[0].get<std::string>();
      const auto answer = ask(
          target,
          {{"messages", Json::array({{{"role", "user"}, {"content", text}}})},
           {"tools", tools},
           {"max_tokens", kTokensOfCall * options.generate},
           {"temperature", 0},
           {"seed", round}},
          options.keep_going);
      if (!answer && answer.error().code == ErrorCode::cancelled) {
        return answer.error();
      }
      std::string fault;
      if (answer) {
        fault = judge(score, *answer, trial);
      } else {
        ++score.failed;
        ++(trial[1] == "" ? score.quiet_asked : score.asked);
        fault = answer.error().what;
      }
      if (!fault.empty()) {
        score.wrong.push_back(fmt::format("{}: {}", text, fault));
      }
    }
  }
  return score;
}

}  // namespace rapid
