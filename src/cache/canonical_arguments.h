// Whether two calls ask for the same thing.
#pragma once

#include <string>
#include <string_view>

namespace rapid {

// Arguments that mean the same have one form: keys sorted, no white space,
// whole numbers without a fraction, an object in a string opened, nothing at
// all is {}. Text that is no JSON stays, as a JSON string.
std::string canonical_arguments(std::string_view arguments);

}  // namespace rapid
