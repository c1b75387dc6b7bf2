// A format made of declarations: its names, its syntaxes, its reasoning.
//
//   void register_format_kimi(FormatRegistry& registry) {
//     registry.add(declare({.name = "kimi", .syntaxes = {kimi_calls()}}));
//   }
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "formats/call_machine.h"
#include "formats/format.h"

namespace rapid {

struct FormatDeclaration {
  std::string_view name;
  std::vector<std::string_view> aliases;
  // The first is how the model writes calls; the others it writes at times.
  SyntaxList syntaxes;
  std::string_view reasoning;  // style of its own markers, or ""
  // Text that a template of the family has and no other's.
  std::vector<std::string_view> signs;
  // Among formats that fit equally well the highest is chosen.
  int rank = 0;
};

std::unique_ptr<OutputFormat> declare(FormatDeclaration declaration);

}  // namespace rapid
