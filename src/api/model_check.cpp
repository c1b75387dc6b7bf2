#include "api/model_check.h"

#include <mutex>
#include <utility>

namespace rapid {
namespace {

struct Known {
  std::mutex mutex;
  ModelCheck check;
};

Known& known() {
  static Known out;
  return out;
}

}  // namespace

void set_model_check(ModelCheck check) {
  std::lock_guard lock(known().mutex);
  known().check = std::move(check);
}

Status check_model(const std::string& model, const std::string& architecture) {
  std::lock_guard lock(known().mutex);
  return known().check ? known().check(model, architecture) : Status();
}

}  // namespace rapid
