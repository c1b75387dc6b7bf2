// xLAM: [{"name": "f", "arguments": {...}}, ...], bare or in a fence.
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/registry.h"

namespace rapid {
void register_format_xlam(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "xlam",
       .syntaxes = {bare_list(), fenced_json(), marked_list()}}));
}

}  // namespace rapid
