"""An AWS account on one machine, for development and tests: see README.md beside this file.

```python
import localcloud

cloud = localcloud.up()
cloud.environment["AWS_ENDPOINT_URL"]
localcloud.down()
```
"""

from localcloud.control import Cloud, Status, current, down, status, up
from localcloud.errors import LocalCloudError
from localcloud.images import Image, default_images
from localcloud.surroundings import DockerEngine, Listening, Surroundings

__all__ = [
    "Cloud",
    "DockerEngine",
    "Image",
    "Listening",
    "LocalCloudError",
    "Status",
    "Surroundings",
    "current",
    "default_images",
    "down",
    "status",
    "up",
]
