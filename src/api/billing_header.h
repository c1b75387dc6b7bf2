// Some agents put a line about billing in front of the system prompt that
// differs from conversation to conversation. It is nothing that a model should
// read, and at the very beginning it would make every prompt a new one: it is
// left out. Pure.
#pragma once

#include <string>

namespace rapid {

// The system prompt without that line and the empty ones behind it, where it
// is the first.
std::string without_billing_header(std::string system);

}  // namespace rapid
