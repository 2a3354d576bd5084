#include "device/cuda/status.hpp"

#include <fmt/format.h>

#include "device/cuda/driver_api.hpp"

namespace driftwood::cuda {
namespace {

ErrorCode code_of(cudaError_t status) {
  switch (status) {
    case cudaErrorMemoryAllocation: return ErrorCode::out_of_memory;
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorSystemNotReady:
    case cudaErrorDevicesUnavailable: return ErrorCode::unavailable;
    case cudaErrorNotSupported: return ErrorCode::unsupported;
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorUnknown: return ErrorCode::device_lost;
    default: return ErrorCode::internal;
  }
}

ErrorCode code_of(CUresult status) {
  switch (status) {
    case CUDA_ERROR_OUT_OF_MEMORY: return ErrorCode::out_of_memory;
    case CUDA_ERROR_NOT_SUPPORTED: return ErrorCode::unsupported;
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_FAILED:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_NVLINK_UNCORRECTABLE:
    case CUDA_ERROR_UNKNOWN: return ErrorCode::device_lost;
    default: return ErrorCode::internal;
  }
}

}  // namespace

Result<void> check(cudaError_t status, std::string_view doing) {
  if (status == cudaSuccess) return {};
  cudaGetLastError();  // else it would be taken for a later call's
  if (status == cudaErrorInsufficientDriver) {
    return fail(ErrorCode::unavailable, "There is no driver for CUDA here, or one older than this program needs.");
  }
  return fail(code_of(status), fmt::format("CUDA failed at {}: {}.", doing, cudaGetErrorString(status)));
}

Result<void> check(CUresult status, std::string_view doing) {
  if (status == CUDA_SUCCESS) return {};
  const char* reason = nullptr;
  if (const auto& driver = driver_api()) driver->get_error_string(status, &reason);
  return fail(code_of(status), fmt::format("CUDA failed at {}: {}.", doing, reason == nullptr ? "unknown" : reason));
}

}  // namespace driftwood::cuda
