// From a chat::Request to the token ids that the engine gets, and the checks
// that belong to it. No threads, no engine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "chat/request.h"
#include "engine/engine.h"
#include "engine/front.h"

namespace rapid {

struct EnginePrompt {
  std::vector<int32_t> ids;
  std::string text;  // as echo gives it back
};

// One prompt for a chat, else one for each of request.prompts. Text from
// messages and tools is never read as special tokens. tool_choice none leaves
// the tools out of the prompt.
Result<std::vector<EnginePrompt>> build_prompts(
    const TextModel& model, const chat::Request& request);

// Ranges and names that do not depend on the prompt.
Status check_request(const chat::Request& request, int32_t vocabulary);

// Request over generation_config over temperature 0.7 and top_p 0.9.
// `seed` stands in when the request has none.
SamplingOptions sampling_options(
    const chat::Sampling& request,
    const chat::Sampling& defaults,
    uint64_t seed);

}  // namespace rapid
