#include "api/prompt_list.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

namespace rapid {
namespace {

Result<std::vector<int32_t>> read_ids(const Json& list, std::string path) {
  std::vector<int32_t> ids;
  if (list.empty()) {
    return wrong_field(path, "at least one token id", list);
  }
  for (size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_number_unsigned() || list[i] > INT32_MAX) {
      return wrong_field(fmt::format("{}[{}]", path, i), "a token id", list[i]);
    }
    ids.push_back(list[i].get<int32_t>());
  }
  return ids;
}

}  // namespace

Status read_prompts(
    const Fields& fields,
    std::string_view name,
    size_t most,
    chat::Request& request) {
  const Json* given = fields.find(name);
  const std::string path = fields.path(name);
  if (given == nullptr) {
    return missing_field(path, "text or token ids");
  }
  if (given->is_string()) {
    request.prompts.emplace_back(given->get<std::string>());
    return {};
  }
  if (!given->is_array() || given->empty()) {
    return wrong_field(path, "text, a list of texts, or token ids", *given);
  }
  if (given->front().is_number()) {
    RAPID_TRY(auto ids, read_ids(*given, path));
    request.prompts.emplace_back(std::move(ids));
    return {};
  }
  if (given->size() > most) {
    return wrong_field(path, fmt::format("at most {} of them", most), *given);
  }
  const bool texts = given->front().is_string();
  for (size_t i = 0; i < given->size(); ++i) {
    const Json& one = (*given)[i];
    const std::string here = fmt::format("{}[{}]", path, i);
    if (texts && one.is_string()) {
      request.prompts.emplace_back(one.get<std::string>());
    } else if (!texts && one.is_array()) {
      RAPID_TRY(auto ids, read_ids(one, here));
      request.prompts.emplace_back(std::move(ids));
    } else {
      return wrong_field(
          here, texts ? "a text like the first" : "a list of token ids", one);
    }
  }
  return {};
}

}  // namespace rapid
