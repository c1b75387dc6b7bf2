// Detour: what a choice asks of the front when it must not go on as the
// engine went: take back some tokens, or close its reasoning.
#pragma once

#include <cstdint>
#include <string>

namespace rapid {

struct Detour {
  enum class Kind {
    strict_call,    // one call under its grammar, then free
    no_call,        // free, but not with the token `banned`
    close_thought,  // the reasoning is over its budget
    free,           // no more than going on
  };
  Kind kind = Kind::free;
  // Tokens of the answer that stay. The choice has forgotten the others.
  int keep = 0;
  // Bytes of the answer between those tokens and the call: the token that
  // opened the call began with them.
  std::string prefix;
  int attempt = 1;      // at this place
  int32_t banned = -1;  // no_call
};

}  // namespace rapid
