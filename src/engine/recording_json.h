// The parts of a recording's JSON: requests of the engine and what came of
// them. Reading throws nlohmann's exceptions; read_recordings() catches them.
#pragma once

#include "engine/recording.h"

namespace rapid {

Json json_of(const RecordedRun& run);
RecordedRun run_from(const Json& json);

}  // namespace rapid
