// For a model about which nothing is known: every way of writing calls.
#include "formats/bracket_syntax.h"
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/registry.h"

namespace rapid {

void register_format_auto(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "auto",
       .aliases = {"generic"},
       .syntaxes = {
           tagged_json(),
           function_tags(),
           function_json(),
           bracket_syntax(),
           fenced_json(),
           italic_json(),
           worn_tags(),
           wrapped_json("<function_call>", "</function_call>"),
           bare_json(),
           python_list()}}));
}

}  // namespace rapid
