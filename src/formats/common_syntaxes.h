// The ways of writing calls that several formats share.
#pragma once

#include <memory>

#include "formats/json_syntax.h"
#include "formats/tag_syntax.h"

namespace rapid {

using SyntaxPtr = std::shared_ptr<const CallSyntax>;

// <tool_call>{"name": ..., "arguments": ...}</tool_call>
SyntaxPtr tagged_json();
// The same between other tags, for recovery.
SyntaxPtr wrapped_json(std::string open, std::string close);
// <tool_call><function=f><parameter=k>v</parameter></function></tool_call>
SyntaxPtr function_tags();
SyntaxPtr function_lines();
// <function=f>{...}</function>, rendered so; parameters are read, too.
SyntaxPtr function_json();
// <function><name>f</name><arguments>{...}</arguments></function>
SyntaxPtr named_tags();
// ```json {...} ``` and <tools>{...}</tools>
SyntaxPtr fenced_json();
// The same in italics, as terminals have them
SyntaxPtr italic_json();
// <toolcall>f\n<parameter=k>v</parameter></toolcall>
SyntaxPtr worn_tags();
// {"name": ..., "arguments": ...}, as it stands
SyntaxPtr bare_json();
// [{"name": ..., "arguments": ...}, ...]
SyntaxPtr bare_list();
// [TOOL_CALLS] [{...}]
SyntaxPtr marked_list();
// [f(a=1)]
SyntaxPtr python_list();

}  // namespace rapid
