#include "formats/call_grammar.h"

#include <algorithm>

#include "formats/common_syntaxes.h"

namespace rapid {
namespace {

class GrammarWriter {
 public:
  GrammarWriter(
      const CallSyntax& syntax,
      const MarkerId& marker,
      const RelaxSchema& relax)
      : marker_(marker), relax_(relax), markers_(syntax.markers()) {
    std::ranges::sort(markers_, std::ranges::greater(), &std::string::size);
  }

  // Text with its special tokens as Lark.
  std::string text(std::string_view text) const {
    std::string out;
    std::string plain;
    const auto flush = [&] {
      if (!plain.empty()) {
        out += " " + dump_json(plain);
        plain.clear();
      }
    };
    for (size_t at = 0; at < text.size();) {
      const auto tag = token_at(text.substr(at));
      if (!tag) {
        plain += text[at++];
        continue;
      }
      flush();
      out += " <[" + std::to_string(tag->first) + "]>";
      at += tag->second;
    }
    flush();
    return out;
  }

  std::string rule(const std::string& name, const std::string& body) {
    rules_ += name + ":" + (body.empty() ? " \"\"" : body) + "\n";
    return " " + name;
  }

  // A JSON value that fits the schema.
  std::string json(const Json& schema, const std::string& place) {
    auto relaxed = relax_(schema);
    if (!relaxed) {
      relaxed_.push_back(place + ": " + relaxed.error().what);
      return " %json {}";
    }
    for (const std::string& one : relaxed->relaxed) {
      relaxed_.push_back(place + "." + one);
    }
    return " %json " + dump_json(relaxed->schema);
  }

  std::string call(
      const CallFrame& frame, const chat::Tool& tool, const std::string& name) {
    if (frame.json) {
      Json schema =
          tool.parameters.is_object() ? tool.parameters : Json::object();
      schema["type"] = "object";
      return rule(
          name,
          text(frame.before) + json(schema, "tools." + tool.name) +
              text(frame.after));
    }
    std::string body = text(frame.before);
    int index = 0;
    for (const CallFrame::Parameter& one : frame.parameters) {
      const std::string part = rule(
          name + "_" + std::to_string(index++), parameter(one, tool, name));
      body += part + (one.required ? "" : "?");
    }
    return rule(name, body + text(frame.after));
  }

  CallGrammar finish() && { return {std::move(rules_), std::move(relaxed_)}; }

 private:
  std::optional<std::pair<int32_t, size_t>> token_at(
      std::string_view text) const {
    for (const std::string& tag : markers_) {
      if (text.starts_with(tag)) {
        if (const auto id = marker_(tag)) {
          return std::pair(*id, tag.size());
        }
      }
    }
    return std::nullopt;
  }

  std::string parameter(
      const CallFrame::Parameter& one,
      const chat::Tool& tool,
      const std::string& name) {
    if (one.text) {
      const std::string value = name + "_" + std::to_string(values_++) + "v";
      rules_ += value + "[suffix=" + dump_json(one.after) + "]: /(?s:.*)/\n";
      return text(one.before) + " " + value;
    }
    return text(one.before) +
           json(
               tool.parameters["properties"][one.key],
               "tools." + tool.name + ".properties." + one.key) +
           text(one.after);
  }

  const MarkerId& marker_;
  const RelaxSchema& relax_;
  std::vector<std::string> markers_;
  std::string rules_;
  std::vector<std::string> relaxed_;
  int values_ = 0;
};

}  // namespace

CallGrammar call_grammar(
    const CallSyntax& syntax,
    const ToolSet& tools,
    bool several,
    const MarkerId& marker,
    const RelaxSchema& relax) {
  const bool framed =
      !tools.tools().empty() && syntax.frame(tools.tools()[0]).has_value();
  const SyntaxPtr bare = bare_json();
  const CallSyntax& used = framed ? syntax : *bare;
  GrammarWriter writer(used, marker, relax);
  std::string any;
  CallFrame last;
  for (size_t i = 0; i < tools.tools().size(); ++i) {
    const chat::Tool& tool = tools.tools()[i];
    if (!tools.forced().empty() && !tools.is_forced(tool.name)) {
      continue;
    }
    last = *used.frame(tool);
    any += (any.empty() ? "" : " |") +
           writer.call(last, tool, "call_" + std::to_string(i));
  }
  writer.rule("call", any);
  if (!several) {
    writer.rule(
        "start",
        writer.text(last.turn_before) + " call" + writer.text(last.turn_after));
    return std::move(writer).finish();
  }
  // The lexer takes the longest match, so what both ways begin with is apart.
  const std::string& between = last.turn_between;
  const std::string& after = last.turn_after;
  const auto fork = std::ranges::mismatch(between, after);
  const std::string shared(between.begin(), fork.in1);
  const auto or_nothing = [](std::string part) {
    return part.empty() ? std::string(" \"\"") : part;
  };
  writer.rule(
      "more",
      writer.text(shared) + " (" +
          or_nothing(writer.text(std::string(fork.in2, after.end()))) + " |" +
          writer.text(std::string(fork.in1, between.end())) + " call more)");
  writer.rule("start", writer.text(last.turn_before) + " call more");
  return std::move(writer).finish();
}

}  // namespace rapid
