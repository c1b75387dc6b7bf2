// The grammar of calls in a format's own syntax, for tool_choice required or
// named: llguidance's Lark, from the same declaration as the reader and the
// renderer. It accepts what render() writes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/call_syntax.h"
#include "text/grammar.h"

namespace rapid {

// The id of a token with this name that no other text leads to, or none.
using MarkerId = std::function<std::optional<int32_t>(std::string_view)>;

// relax_schema() of text/grammar.h, or a stand-in.
using RelaxSchema = std::function<Result<RelaxedSchema>(const Json&)>;

struct CallGrammar {
  std::string lark;
  // "tools.f.properties.x: keyword": what the schemas lost.
  std::vector<std::string> relaxed;
};

// One or more calls (`several`) of the tools that the choice allows. A syntax
// that has no grammar gives bare JSON, which every format reads.
CallGrammar call_grammar(
    const CallSyntax& syntax,
    const ToolSet& tools,
    bool several,
    const MarkerId& marker,
    const RelaxSchema& relax);

}  // namespace rapid
