// All output formats by name. Filled once by register_all_formats, read-only
// afterwards.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/format.h"

namespace rapid {

class FormatRegistry {
 public:
  // Throws std::logic_error on a duplicate name or alias.
  void add(std::unique_ptr<OutputFormat> format);

  const OutputFormat* find(std::string_view name_or_alias) const;
  // The best match; "plain" when nothing claims the model.
  const OutputFormat& choose(const TemplateFacts& facts) const;
  std::vector<const OutputFormat*> all() const;

  static const FormatRegistry& global();

 private:
  std::vector<std::unique_ptr<OutputFormat>> formats_;
};

void register_all_formats(FormatRegistry& registry);  // generated

}  // namespace rapid
