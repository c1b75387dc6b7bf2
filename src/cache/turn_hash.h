// The canonical form of a turn as text; for the ledger's own sources.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace rapid {

struct LedgerTurn;

std::string canonical_text(const LedgerTurn& turn);
std::string canonical_calls(const LedgerTurn& turn);

// sha256 of the parts, each with its length; hex.
std::string hash_of(std::initializer_list<std::string_view> parts);

}  // namespace rapid
