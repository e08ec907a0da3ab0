// As much of ncnn as the generated profiler uses; it computes nothing.
#pragma once
#include <cstddef>

#define NCNN_VERSION_STRING "1.0.made-up"

namespace ncnn {
class DataReader {
public:
    virtual ~DataReader() = default;
    virtual std::size_t read(void* buffer, std::size_t size) const = 0;
};
}  // namespace ncnn
