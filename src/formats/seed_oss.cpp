// Seed-OSS: Qwen3-Coder's tags in <seed:tool_call>.
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/registry.h"

namespace rapid {
namespace {

SyntaxPtr seed_calls() {
  static const auto syntax = std::make_shared<TagSyntax>(TagShape{
      .section_opens = {"<seed:tool_call>"},
      .section_closes = {"</seed:tool_call>"},
      .opens = {"<function="},
      .name_ends = {">"},
      .closes = {"</function>"},
      .params =
          {.open = "<parameter=",
           .key_end = ">",
           .close = "</parameter>",
           .lines = Lines::both},
      .shy = true,
      .lead = "\n",
      .between = "\n",
      .tail = "\n",
      .params_lead = "\n",
      .params_between = "\n",
      .section_each = true});
  return syntax;
}

SyntaxPtr json_calls() {
  static const auto syntax =
      wrapped_json("<seed:tool_call>", "</seed:tool_call>");
  return syntax;
}

}  // namespace

void register_format_seed_oss(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "seed_oss",
       .aliases = {"seed", "gpt_oss"},
       .syntaxes = {seed_calls(), function_tags(), json_calls()},
       .reasoning = "seed",
       .signs = {"seed:tool_call"},
       .rank = 9}));
}

}  // namespace rapid
