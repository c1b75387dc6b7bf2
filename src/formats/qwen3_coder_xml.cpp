// Qwen3-Coder, Qwen3-Next, Qwen3.6: a tag for each parameter.
//
//   <tool_call>
//   <function=write>
//   <parameter=path>
//   /a
//   </parameter>
//   </function>
//   </tool_call>
#include "formats/common_syntaxes.h"
#include "formats/declared_format.h"
#include "formats/registry.h"

namespace rapid {

void register_format_qwen3_coder_xml(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "qwen3_coder_xml",
       .syntaxes = {function_lines()},
       .signs = {"<function=", "</parameter>"},
       .rank = 8}));
}

}  // namespace rapid
