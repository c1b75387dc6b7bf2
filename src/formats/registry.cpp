#include "formats/registry.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace rapid {

void FormatRegistry::add(std::unique_ptr<OutputFormat> format) {
  std::vector<std::string_view> names = format->aliases();
  names.push_back(format->name());
  for (const std::string_view name : names) {
    if (find(name) != nullptr ||
        std::count(names.begin(), names.end(), name) > 1) {
      throw std::logic_error(
          "two output formats are named " + std::string(name));
    }
  }
  formats_.push_back(std::move(format));
}

const OutputFormat* FormatRegistry::find(std::string_view name) const {
  for (const auto& format : formats_) {
    const auto aliases = format->aliases();
    if (format->name() == name ||
        std::find(aliases.begin(), aliases.end(), name) != aliases.end()) {
      return format.get();
    }
  }
  return nullptr;
}

const OutputFormat& FormatRegistry::choose(const TemplateFacts& facts) const {
  const OutputFormat* best = find("plain");
  int best_score = 0;
  for (const auto& format : formats_) {
    const int score = format->match(facts);
    if (score > best_score) {
      best = format.get();
      best_score = score;
    }
  }
  if (best == nullptr) {
    throw std::logic_error("the output format plain is not registered");
  }
  return *best;
}

std::vector<const OutputFormat*> FormatRegistry::all() const {
  std::vector<const OutputFormat*> out;
  for (const auto& format : formats_) {
    out.push_back(format.get());
  }
  return out;
}

const FormatRegistry& FormatRegistry::global() {
  static const FormatRegistry registry = [] {
    FormatRegistry all;
    register_all_formats(all);
    return all;
  }();
  return registry;
}

}  // namespace rapid
