// Nemotron 3: Qwen3-Coder's tags; the arguments may also be one JSON object.
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/registry.h"

namespace rapid {

void register_format_nemotron(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "nemotron",
       .aliases = {"nemotron3"},
       .syntaxes = {function_tags(), tagged_json()}}));
}

}  // namespace rapid
