// The canonical form of a turn, and the chain of them.
#include <cmath>
#include <map>

#include "base/json.h"
#include "cache/turn_hash.h"
#include "cache/turn_ledger.h"
#include "hub/file_writer.h"

namespace rapid {

namespace {

constexpr double kExactInteger = 9007199254740992.0;  // 2^53

// Clients sort keys, and JavaScript writes 1.0 as 1.
Json canonical(const Json& value) {
  if (value.is_object()) {
    std::map<std::string, Json> sorted;
    for (const auto& [key, member] : value.items()) {
      sorted[key] = canonical(member);
    }
    Json out = Json::object();
    for (auto& [key, member] : sorted) {
      out[key] = std::move(member);
    }
    return out;
  }
  if (value.is_array()) {
    Json out = Json::array();
    for (const auto& member : value) {
      out.push_back(canonical(member));
    }
    return out;
  }
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (std::trunc(number) == number && std::abs(number) < kExactInteger) {
      return static_cast<int64_t>(number);
    }
  }
  return value;
}

std::string_view without_ends(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

}  // namespace

std::string canonical_arguments(std::string_view arguments) {
  const std::string_view text = without_ends(arguments);
  if (text.empty()) {
    return "{}";
  }
  auto value = parse_json(text);
  if (value && value->is_string()) {
    auto inner = parse_json(value->get<std::string>());
    if (inner && inner->is_object()) {
      value = std::move(inner);
    }
  }
  if (value && value->is_null()) {
    return "{}";
  }
  return dump_json(value ? canonical(*value) : Json(std::string(text)));
}

std::string canonical_text(const LedgerTurn& turn) {
  return std::string(without_ends(turn.text));
}

std::string canonical_calls(const LedgerTurn& turn) {
  Json out = Json::array();
  for (const auto& call : turn.calls) {
    out.push_back({call.name, canonical_arguments(call.arguments)});
  }
  return dump_json(out);
}

std::string hash_of(std::initializer_list<std::string_view> parts) {
  Sha256 hash;
  for (const std::string_view part : parts) {
    // Lengths keep ("ab", "c") and ("a", "bc") apart.
    const std::string size = std::to_string(part.size()) + ":";
    hash.update(std::as_bytes(std::span(size)));
    hash.update(std::as_bytes(std::span(part)));
  }
  return hash.hex();
}

void TurnChain::add(std::string_view role, const LedgerTurn& message) {
  hash_ =
      hash_of({hash_, role, canonical_text(message), canonical_calls(message)});
}

}  // namespace rapid
