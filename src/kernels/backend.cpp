#include "kernels/backend.h"

#include "kernels/gpu_kernel.h"

namespace rapid {

namespace {

thread_local bool reference_forced = false;

}  // namespace

bool cpu_kernels_active() {
  return !reference_forced && mx::default_device() == mx::Device::cpu;
}

bool plain_not_forced() {
  return !reference_forced;
}

ScopedReference::ScopedReference() : before_(reference_forced) {
  reference_forced = true;
}

ScopedReference::~ScopedReference() {
  reference_forced = before_;
}

}  // namespace rapid
