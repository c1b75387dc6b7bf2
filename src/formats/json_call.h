// Tool calls written as JSON: {"name": ..., "arguments": {...}}, a list of
// such objects, or several in a row. What the text's end cut off counts only
// where nothing of the arguments can be missing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace rapid {

struct JsonArguments {
  Json value;       // an object
  std::string raw;  // its text, byte for byte, if that is strict JSON
};

struct JsonCall {
  std::string name;
  JsonArguments arguments;
  bool has_arguments = false;  // the key was there
  std::string text;            // the whole call
};

// What the end of the text is: the model's own (or a closing tag), so that
// missing brackets were forgotten, or a cut.
enum class Ending { real, cut };

// Reads {"name"|"function": text, "arguments"|"parameters": object}, also
// inside {"function": {...}}, and arguments that are text of a JSON object.
// The error says why it is not a call.
Result<std::vector<JsonCall>> parse_json_calls(
    std::string_view text, Ending ending);

// The calls of a list that the end of the text cuts, up to the one that is
// not complete.
struct JsonCallList {
  std::vector<JsonCall> calls;
  size_t consumed = 0;
};
JsonCallList parse_cut_list(std::string_view text, Ending ending);

// `quote`: a mark that quotes strings beside JSON's, or "".
Result<JsonArguments> parse_json_arguments(
    std::string_view text, Ending ending, std::string_view quote = {});

}  // namespace rapid
