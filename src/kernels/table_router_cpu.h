// The CPU kernel of table_router.h.
#pragma once

#include "kernels/table_router.h"

namespace rapid {

mx::array table_weights_cpu(
    const mx::array& logits,
    const mx::array& ids,
    const TableRouterPtr& router);

}  // namespace rapid
