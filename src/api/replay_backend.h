// A Backend that answers from recordings: `rapid-mlx replay --serve`. Finds
// the recording for a question and lets the front give it (engine/
// replay_model.h).
#pragma once

#include <memory>

#include "api/backend.h"
#include "engine/replay_shelf.h"

namespace rapid {

std::shared_ptr<Backend> make_replay_backend(
    std::shared_ptr<ReplayShelf> shelf, const FrontOptions& options);

}  // namespace rapid
