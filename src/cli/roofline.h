// The table of `bench --roofline`.
#pragma once

#include "bench/roofline.h"

namespace rapid {

void print_roofline(const Roofline& roofline);

}  // namespace rapid
