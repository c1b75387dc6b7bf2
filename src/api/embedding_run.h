// Embeds a list of prompts, a few at a time, so that a long list neither fills
// the queue nor keeps chats from their turns.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "api/json_fields.h"
#include "api/route.h"
#include "base/result.h"
#include "chat/request.h"

namespace rapid {

constexpr size_t kMostEmbeddings = 2048;  // of one request

struct Embedded {
  std::vector<std::vector<float>> vectors;  // of length 1, one per prompt
  int tokens = 0;
};

// `pooling` (mean, last, cls; mean when absent) and `dimensions`.
struct EmbeddingFields {
  Pooling pooling = Pooling::mean;
  size_t dimensions = 0;  // 0 = all
};
Result<EmbeddingFields> read_embedding_fields(const Fields& fields);

// `request` brings prompts, may_cut, lane and id. `done` is called once, on
// any thread; never when the client has left before.
void run_embedding(
    chat::Request request,
    const EmbeddingFields& fields,
    std::shared_ptr<Backend> backend,
    const std::shared_ptr<ResponseStream>& stream,
    std::function<void(Result<Embedded>)> done);

}  // namespace rapid
