// Hermes: each call is a JSON object between <tool_call> and </tool_call>.
//
//   Let me look.
//   <tool_call>
//   {"name": "read", "arguments": {"path": "/a"}}
//   </tool_call>
//
// Facts: the chat templates of Hermes 2 and Qwen 2.5. Small models leave the
// tags out, put the object in a fence or <tools>, or write XML.
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/registry.h"

namespace rapid {
namespace {

SyntaxPtr tools_tag() {
  static const auto syntax = std::make_shared<JsonSyntax>(JsonShape{
      .opens = {"<tools>"},
      .closes = {"</tools>"},
      .own = Place::line,
      .needs_proof = true,
      .lead = "\n",
      .tail = "\n",
      .between = "\n"});
  return syntax;
}

}  // namespace

void register_format_hermes(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "hermes",
       .aliases = {"nous", "qwen3_coder"},
       .syntaxes =
           {tagged_json(),
            function_tags(),
            named_tags(),
            tools_tag(),
            fenced_json(),
            bare_json()},
       .signs = {"<tool_call>\n{", "<tool_call>\\n{", "<tool_call>"},
       .rank = 9}));
}

}  // namespace rapid
