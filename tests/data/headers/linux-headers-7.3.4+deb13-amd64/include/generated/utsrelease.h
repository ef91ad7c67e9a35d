#define UTS_RELEASE "7.3.4+deb13-amd64"
