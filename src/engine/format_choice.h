// Which output format a model writes, and what spoke for it: the template's
// own call, words of its source, or the user. Pure; no threads.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "formats/format.h"

namespace rapid {

struct FormatChoice {
  enum class Reason {
    forced,    // by name
    same,      // the template renders a call as the format does
    readable,  // the format reads what the template renders
    signs,     // words in the template's source
    none,      // nothing spoke for any: plain
  };

  const OutputFormat* format = nullptr;
  Reason reason = Reason::none;
  // Formats for which as much speaks; the order of families decided.
  std::vector<std::string> rivals;
  // Markers of the format that are one token of the vocabulary.
  std::vector<std::string> tokens;

  // One sentence: "the template renders calls this way (as hermes does: ...)".
  std::string why() const;
};

// Errors: invalid_argument when no format is called `forced`; it lists them.
Result<FormatChoice> choose_format(
    const TemplateFacts& facts, const std::string& forced);

}  // namespace rapid
