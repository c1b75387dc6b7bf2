#include "engine/constraint.h"

#include <algorithm>
#include <utility>

#include "formats/call_grammar.h"
#include "formats/common_syntaxes.h"
#include "formats/reasoning.h"

namespace rapid {
namespace {

using Kind = GrammarSource::Kind;

CallGrammar grammar_of_calls(
    const TextModel& model, const FormatInput& input, bool several, bool bare) {
  const SyntaxPtr json = bare_json();
  const auto& syntaxes = model.format->syntaxes();
  return call_grammar(
      bare || syntaxes.empty() ? *json : *syntaxes[0],
      ToolSet(input),
      several,
      [&](std::string_view name) { return model.codec->marker(name); },
      [&](const Json& schema) { return model.codec->relax(schema); });
}

Constraint of_calls(const TextModel& model, const chat::Request& request) {
  FormatInput input;
  input.tools = request.tools;
  input.tool_choice = request.tool_choice;
  CallGrammar grammar =
      grammar_of_calls(model, input, request.parallel_calls, false);
  Constraint out;
  out.grammar = GrammarSource{Kind::lark, std::move(grammar.lark)};
  out.relaxed = std::move(grammar.relaxed);
  return out;
}

// The rule `start` becomes `answer`, and `start` begins with `front`.
std::string behind(std::string lark, const std::string& front) {
  const size_t start = lark.rfind("start:");
  lark.replace(start, 5, "answer");
  return lark + "start: " + front + " answer\n";
}

// Lark whose `start` is the source.
std::string as_lark(const GrammarSource& source) {
  return source.kind == Kind::lark ? source.text
         : source.kind == Kind::json_object
             ? "start: %json {\"type\": \"object\"}\n"
             : "start: %json " + source.text + "\n";
}

// A model that may think first, by its own choice: <think>...</think> answer.
std::string with_thought(std::string lark, int32_t open, int32_t close) {
  return behind(
      std::move(lark),
      "(<[" + std::to_string(open) + "]> /(?s:.*)/ <[" + std::to_string(close) +
          "]> /\\s*/)?");
}

}  // namespace

Result<Constraint> make_constraint(
    const TextModel& model,
    const chat::Request& request,
    const ReasoningStyle* reasoning,
    Thinking thinking) {
  Constraint out;
  if (wants_calls(request)) {
    out = of_calls(model, request);
  } else if (request.constraint) {
    out.grammar = request.constraint;
    if (out.grammar->kind == Kind::json_schema) {
      RAPID_TRY(const Json schema, parse_json(out.grammar->text));
      RAPID_TRY(RelaxedSchema relaxed, model.codec->relax(schema));
      out.grammar->text = dump_json(relaxed.schema);
      out.relaxed = std::move(relaxed.relaxed);
    }
  }
  if (!out.grammar || reasoning == nullptr) {
    return out;
  }
  if (reasoning->channels != nullptr || thinking == Thinking::on) {
    const std::string_view close = reasoning->answer_header.empty()
                                       ? reasoning->close
                                       : reasoning->answer_header;
    if (thinking == Thinking::on || !reasoning->answer_header.empty()) {
      out.after = model.codec->encode(close, {.parse_special = true});
    }
    return out;
  }
  const auto open = model.codec->marker(reasoning->open);
  const auto close = model.codec->marker(reasoning->close);
  if (thinking == Thinking::automatic && open && close &&
      out.grammar->kind != Kind::regex) {
    out.behind = out.grammar;
    out.grammar = GrammarSource{
        Kind::lark, with_thought(as_lark(*out.grammar), *open, *close)};
  }
  return out;
}

bool wants_calls(const chat::Request& request) {
  using Choice = chat::ToolChoice::Kind;
  return !request.tools.empty() &&
         (request.tool_choice.kind == Choice::required ||
          request.tool_choice.kind == Choice::named);
}

bool wants_strict_calls(const chat::Request& request) {
  return request.tool_choice.kind == chat::ToolChoice::Kind::automatic &&
         std::ranges::any_of(request.tools, [](const chat::Tool& tool) {
           const Json* object = &tool.declaration;
           if (object->is_object() && object->contains("function")) {
             object = &object->at("function");
           }
           return object->is_object() && object->contains("strict") &&
                  object->at("strict") == true;
         });
}

GrammarSource strict_call(
    const TextModel& model,
    const FormatInput& input,
    std::string_view prefix,
    bool bare) {
  std::string lark = grammar_of_calls(model, input, false, bare).lark;
  return {
      Kind::lark,
      prefix.empty() ? std::move(lark)
                     : behind(std::move(lark), dump_json(prefix))};
}

}  // namespace rapid
