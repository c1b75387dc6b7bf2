// Which tensors a converted folder has, from which of the source's.
#pragma once

#include <string_view>
#include <vector>

#include "engine/convert_plan.h"

namespace rapid {

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// The number behind "layers." in a module's path; 0 where there is none.
int layer_of(std::string_view module);

// In the order of the source, stacks last; no schemes yet. `text`: the
// configuration of the text model; `tied`: its head is the embedding.
std::vector<ConvertTensor> tensors_to_convert(
    const ModelFiles& files, const Json& text, bool tied);

}  // namespace rapid
