// The Backend that a real Front is.
#pragma once

#include <memory>

#include "api/backend.h"
#include "engine/front.h"

namespace rapid {

std::shared_ptr<Backend> make_front_backend(std::shared_ptr<Front> front);

}  // namespace rapid
