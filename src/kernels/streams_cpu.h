// CPU kernels of streams.h.
#pragma once

#include "kernels/streams.h"

namespace rapid {

mx::array stream_gates_cpu(const mx::array& mixes, const StreamGatesPtr& how);
mx::array stream_map_cpu(const mx::array& routes, const StreamMapPtr& map);
mx::array stream_read_cpu(
    const mx::array& x, const mx::array& gates, int streams);
mx::array stream_write_cpu(
    const mx::array& y,
    const mx::array& gates,
    const mx::array& x,
    int streams);

}  // namespace rapid
